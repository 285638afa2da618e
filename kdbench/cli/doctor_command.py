"""``kdbench doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from kdbench.cli.options import json_option, location_options, make_locations, store_option


@click.command("doctor")
@store_option
@location_options
@json_option
def command(store: Path, data: tuple[Path, ...], models: tuple[Path, ...], offline: bool, as_json: bool) -> None:
    """Look at this machine: libraries, devices, data, models, attack assets, store. Exit code 1 if nothing can run."""
    import sys

    from rich.table import Table
    from rich.text import Text

    from kdbench.cli.console import console, print_json
    from kdbench.doctor import examine

    findings = examine(make_locations(data, models, offline), store)
    if as_json:
        print_json([finding.__dict__ for finding in findings])
    else:
        table = Table()
        for column in ("", "what", "found"):
            table.add_column(column, overflow="fold")
        for finding in findings:
            style = {"ok": "green", "note": "yellow", "error": "red"}[finding.level]
            table.add_row(Text(finding.level, style=style), finding.subject, Text(finding.text))
        console.print(table)
    if any(finding.level == "error" for finding in findings):
        sys.exit(1)
