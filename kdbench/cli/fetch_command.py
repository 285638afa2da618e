"""``kdbench fetch``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kdbench.cli.options import NameList, location_options, make_locations, suite_option


@click.command("fetch")
@suite_option
@click.option("--to", "target", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where to.")
@click.option("--pairs", type=NameList(), default=(), help="Only these pairs.")
@click.option("--tasks", type=NameList(), default=(), help="Only these tasks.")
@location_options
def command(
    suite_name: str,
    target: Path,
    pairs: tuple[str, ...],
    tasks: tuple[str, ...],
    data: tuple[Path, ...],
    models: tuple[Path, ...],
    offline: bool,
) -> None:
    """Download datasets, models and attack assets into DIR/data and DIR/models.

    Then, on a machine without internet: kdbench run --suite S --data DIR/data --models DIR/models
    --offline. Exit code 1 when something could not be had.
    """
    from kdbench.cli.console import console
    from kdbench.fetch import fetch_suite
    from kdbench.suite import load_suite

    problems = 0
    for item in fetch_suite(load_suite(suite_name), target, make_locations(data, models, offline), pairs, tasks):
        problems += bool(item.problem)
        text = f"{item.status:8} {item.kind} {item.name}" + (f": {item.problem}" if item.problem else "")
        console.print(text, soft_wrap=True, markup=False)
    name = suite_name if not suite_name.endswith((".yaml", ".yml")) else Path(suite_name)
    console.print(
        f"use it with: kdbench run --suite {name} --data {target / 'data'} --models {target / 'models'} --offline",
        soft_wrap=True,
        markup=False,
    )
    sys.exit(1 if problems else 0)
