"""``kdbench leaderboard``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kdbench.cli.options import json_option, store_option

if TYPE_CHECKING:
    from kdbench.bundles.findings import Finding, Verification

MOST_SHOWN = 30


@click.group("leaderboard")
def command() -> None:
    """Send results to others, check theirs, and join them: bundles hold records and outcomes, no weights."""


@command.command("export")
@click.option("--suite", "suite_name", required=True, help="Name, or YAML file, of a suite that was run.")
@store_option
@click.option("--budget", default="", help="Budget to export [the one run last].")
@click.option("--version", default="", help="Suite version to export, by its first letters [the one run last].")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Bundle to write, ….tar.xz [SUITE-BUDGET-VERSION.tar.xz].",
)
def export_command(suite_name: str, store: Path, budget: str, version: str, out: Path | None) -> None:
    """Write one file with everything known of a suite, but the weights."""
    from kdbench.bundles.export import SUFFIX, export
    from kdbench.cli.console import console
    from kdbench.manifest import find_manifest
    from kdbench.store import Store
    from kdbench.suite import load_suite

    name = load_suite(suite_name).name if suite_name.endswith((".yaml", ".yml")) else suite_name
    source = Store(store)
    manifest, _ = find_manifest(source, name, budget, version)
    path = out or Path(f"{manifest.suite}-{manifest.budget}-{manifest.version}{SUFFIX}")
    info = export(source, manifest, path)
    size = path.stat().st_size / 2**20
    console.print(f"{path}: {size:.2f} MB, {info.cells:,} cells of {info.suite}", soft_wrap=True, markup=False)
    if info.unfinished:
        console.print(f"not whole: {info.unfinished:,} cells have not finished; the bundle says so", style="yellow")


@command.command("verify", short_help="Recompute every number from outcomes, and compare.")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def verify_command(paths: tuple[Path, ...], as_json: bool) -> None:
    """Compute every number of bundles or stores again from what became of each example, and compare the rows.

    Exit code 0 when everything matches, 1 when something does not.
    """
    from kdbench.bundles.sources import open_source
    from kdbench.bundles.verify import verify
    from kdbench.cli.console import print_json

    results = []
    for path in paths:
        with open_source(path) as source:
            results.append(verify(source)[0])
    if as_json:
        print_json([result.as_json() for result in results])
    else:
        for result in results:
            _show(result)
    sys.exit(1 if any(result.findings for result in results) else 0)


@command.command("merge", short_help="Verify bundles or stores, and join them.")
@click.argument("paths", metavar="SOURCE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Store that is added to; made when it does not exist.",
)
def merge_command(paths: tuple[Path, ...], store: Path) -> None:
    """Verify bundles or stores, and join them in one store for kdbench report; weights are not copied.

    Exit code 1, and nothing written, when a source has findings or the sources contradict one another.
    """
    from rich.text import Text

    from kdbench.bundles.merge import merge
    from kdbench.cli.console import console
    from kdbench.store import Store

    merged = merge(paths, Store(store))
    for source in merged.sources:
        _show(source)
    _list(merged.conflicts, "red")
    if merged.refused:
        console.print("refused: nothing was added to any leaderboard", style="red")
        sys.exit(1)
    console.print(f"added {merged.added:,} cells, had {merged.known:,}", soft_wrap=True)
    for manifest in merged.manifests:
        line = f"kdbench report --suite {manifest.suite} --budget {manifest.budget} --version {manifest.version}"
        console.print(Text(f"{line} --store {store}"), soft_wrap=True)
    if merged.notes:
        console.print("not comparable until it is complete:", style="yellow")
        _list(merged.notes, "yellow")


def _show(result: Verification) -> None:
    """One verification for people."""
    from rich.text import Text

    from kdbench.cli.console import console

    suites = ", ".join(f"{m.suite} ({m.budget}, {m.version})" for m in result.manifests)
    console.print(Text(f"{result.source}: {suites}"), soft_wrap=True)
    console.print(Text(f"verified {result.cells:,} cells, {result.numbers:,} numbers recomputed"))
    if result.not_recomputed:
        listed = ", ".join(f"{count} of {name}" for name, count in sorted(result.not_recomputed.items()))
        console.print(Text(f"no outcome tells these numbers: {listed}"), soft_wrap=True)
    if result.unfinished:
        listed = ", ".join(f"{name} ({count})" for name, count in result.unfinished.items())
        console.print(Text(f"not finished: {listed}"), soft_wrap=True)
    _list(result.findings, "red")
    console.print(Text(f"{len(result.findings):,} findings" if result.findings else "everything matches"))


def _list(findings: Iterable[Finding], style: str) -> None:
    from rich.text import Text

    from kdbench.cli.console import console

    every = list(findings)
    for finding in every[:MOST_SHOWN]:
        line = "".join(letter if letter.isprintable() else "�" for letter in f"- {finding}")  # others wrote these words
        console.print(Text(line, style=style), soft_wrap=True)
    if len(every) > MOST_SHOWN:
        console.print(Text(f"… and {len(every) - MOST_SHOWN:,} more (--json lists all)", style=style))
