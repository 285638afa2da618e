"""``kdbench report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kdbench.cli.options import store_option

if TYPE_CHECKING:
    from kdbench.reports.diff import Diff

FORMATS = ("md", "csv", "latex", "json", "html", "figures")


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
@click.option("--reference", default="", help="Method that the others are compared with [kd, else finetune].")
@click.option("--format", "formats", default=",".join(FORMATS), show_default=True, help="What is written.")
@click.option(
    "--diff",
    "stores",
    type=click.Path(path_type=Path, file_okay=False),
    nargs=2,
    metavar="A B",
    help="Compare the suite in two stores instead; writes nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="With --diff: print JSON.")
def command(
    suite_name: str,
    store: Path,
    out: Path,
    budget: str,
    version: str,
    reference: str,
    formats: str,
    stores: tuple[Path, Path] | None,
    as_json: bool,
) -> None:
    """Write the leaderboard as Markdown, CSV, LaTeX, JSON and HTML, with figures, and print it.

    Reads finished cells only; can be run at any time, also while a run is going on. Of a study also study.* is written.
    """
    from kdbench.cli.console import console, print_json
    from kdbench.manifest import find_manifest
    from kdbench.reports.build import report_of
    from kdbench.reports.diff import diff
    from kdbench.reports.files import report_files
    from kdbench.reports.studies import build_study
    from kdbench.reports.studies.render import print_study, study_files
    from kdbench.reports.table import build_leaderboard
    from kdbench.reports.terminal import print_report
    from kdbench.store import Store, write_atomic
    from kdbench.suite import load_suite

    wanted = [name.strip() for name in formats.split(",") if name.strip()]
    for name in wanted:
        if name not in FORMATS:
            raise click.BadParameter(f"'{name}' is not one of {', '.join(FORMATS)}", param_hint="--format")
    name = load_suite(suite_name).name if suite_name.endswith((".yaml", ".yml")) else suite_name
    if stores:
        boards = [build_leaderboard(Store(s), find_manifest(Store(s), name, budget, version)[0]) for s in stores]
        found = diff(*boards)
        print_json(found.as_json()) if as_json else _print_diff(found, stores)
        return
    source = Store(store)
    manifest, others = find_manifest(source, name, budget, version)
    board = build_leaderboard(source, manifest)
    report = report_of(source, board, reference)
    study = build_study(source, board)
    contents = report_files(report, board, wanted)
    if study:
        contents |= study_files(study, board)
    folder = out / manifest.suite
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents.items():
        write_atomic(folder / file, content)
    print_report(report, console)
    if study:
        print_study(study, console)
    for other in others:
        console.print(
            f"not included: another run of {other.suite}, budget {other.budget}, version {other.version} "
            f"(--budget {other.budget} --version {other.version} reports that)",
            soft_wrap=True,
        )
    console.print(f"written to {folder}: {', '.join(contents)}", soft_wrap=True)


def _print_diff(found: Diff, stores: tuple[Path, Path]) -> None:
    import math

    from rich.table import Table
    from rich.text import Text

    from kdbench.cli.console import console

    for warning in found.warnings:
        console.print(Text(f"not the same experiment: {warning}", style="yellow"))
    for cell in found.unequal_cells:
        console.print(Text(f"one key, two results: {cell}", style="red"))
    if found.changes:
        table = Table("pair", "task", "method", "evaluation", "set", "metric")
        for title in ("A", "B", "B - A"):
            table.add_column(title, justify="right")
        for change in found.changes:
            place = change.place
            numbers = (change.first, change.second, change.second - change.first)
            texts = ["not finished" if math.isnan(number) else f"{number:.4g}" for number in numbers]
            names = (place.pair, place.task, place.method, place.evaluation, place.dataset, place.metric)
            table.add_row(*map(Text, names), *texts)
        console.print(table)
    for title, store, only in zip("AB", stores, (found.only_first, found.only_second), strict=True):
        for name, count in only.items():
            console.print(Text(f"only in {title} ({store}): {name}, {count} values"), soft_wrap=True)
    console.print(f"{found.same} values are equal, {len(found.changes)} differ")
