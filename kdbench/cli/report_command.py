"""``kdbench report``."""

from __future__ import annotations

from pathlib import Path

import click

from kdbench.cli.options import store_option


@click.command("report")
@click.option("--suite", "suite_name", required=True, help="Name, or YAML file, of a suite that was run.")
@store_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("leaderboards"),
    show_default=True,
    help="Leaderboards are written to OUT/<suite>/.",
)
@click.option("--budget", default="", help="Budget to report [the one run last].")
@click.option("--version", default="", help="Suite version to report, by its first letters [the one run last].")
def command(suite_name: str, store: Path, out: Path, budget: str, version: str) -> None:
    """Write leaderboard.md, leaderboard.csv and results.csv, for a study also study.*, and print the tables.

    Reads finished cells only; can be run at any time, also while a run is going on.
    """
    from kdbench.cli.console import console
    from kdbench.manifest import find_manifest
    from kdbench.reports.csv import summary_csv, tidy_csv
    from kdbench.reports.markdown import to_markdown
    from kdbench.reports.studies import build_study
    from kdbench.reports.studies.render import print_study, study_files
    from kdbench.reports.table import build_leaderboard
    from kdbench.reports.terminal import print_leaderboard
    from kdbench.store import Store, write_atomic
    from kdbench.suite import load_suite

    source = Store(store)
    name = load_suite(suite_name).name if suite_name.endswith((".yaml", ".yml")) else suite_name
    manifest, others = find_manifest(source, name, budget, version)
    board = build_leaderboard(source, manifest)
    study = build_study(source, board)
    folder = out / manifest.suite
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, str | bytes] = {
        "leaderboard.md": to_markdown(board),
        "leaderboard.csv": summary_csv(board),
        "results.csv": tidy_csv(board),
    }
    if study:
        contents |= study_files(study, board)
    for file, content in contents.items():
        write_atomic(folder / file, content)
    print_leaderboard(board, console)
    if study:
        print_study(study, console)
    for other in others:
        console.print(
            f"not included: another run of {other.suite}, budget {other.budget}, version {other.version} "
            f"(--budget {other.budget} --version {other.version} reports that)",
            soft_wrap=True,
        )
    console.print("written: " + ", ".join(str(folder / file) for file in contents), soft_wrap=True)
