"""``kdbench list``."""

from __future__ import annotations

from pathlib import Path

import click

from kdbench.cli.options import json_option, load_plugins, plugin_option


@click.command("list")
@click.argument("kind", metavar="methods|pairs|tasks|attacks|suites")
@plugin_option
@json_option
def command(kind: str, plugins: tuple[Path, ...], as_json: bool) -> None:
    """List everything of one kind that is known here, plugins and entry points included."""
    from rich.table import Table
    from rich.text import Text

    from kdbench.cli.catalogues import kind_of
    from kdbench.cli.console import console, print_json

    load_plugins(plugins)
    rows = kind_of(kind).rows()
    if as_json:
        print_json(rows)
        return
    table = Table(show_lines=False)
    for column in rows[0]:
        table.add_column(column, no_wrap=column == "name", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_shown(column, value)) for column, value in row.items()))
    console.print(table)


def _shown(column: str, value: object) -> str:
    """As it is, except that the first digits of a plugin file's digest tell it from another."""
    text = str(value)
    return text[:19] if column == "source" and text.startswith("plugin:") else text
