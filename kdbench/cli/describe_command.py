"""``kdbench describe``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kdbench.cli.options import json_option, load_plugins, plugin_option

_LINE = 80  # characters that are read at a glance


@click.command("describe")
@click.argument("kind", metavar="method|pair|task|attack|suite")
@click.argument("name")
@plugin_option
@json_option
def command(kind: str, name: str, plugins: tuple[Path, ...], as_json: bool) -> None:
    """Show everything about one thing: a method's formula, settings, stages, cost and citation."""
    from kdbench.cli.catalogues import kind_of
    from kdbench.cli.console import print_json

    load_plugins(plugins)
    description = kind_of(kind).describe(name)
    if as_json:
        print_json(description)
    else:
        _show(description)


def _show(description: dict[str, Any]) -> None:
    import yaml
    from rich.table import Table
    from rich.text import Text

    from kdbench.cli.console import console

    for title, value in description.items():
        if title.startswith("settings"):
            for owner, rows in value.items():
                table = Table(title=f"{title.replace('settings', f'settings of {owner}', 1)}", title_justify="left")
                for column in ("field", "type", "default", "meaning"):
                    table.add_column(column, overflow="fold")
                for row in rows:
                    table.add_row(*(Text(str(row[column])) for column in ("field", "type", "default", "meaning")))
                console.print(table)
        elif isinstance(value, str) and "\n" not in value:
            console.print(f"{title}: {value}", markup=False, soft_wrap=True)
        elif isinstance(value, str):
            console.print(f"{title}:\n{value}\n", markup=False, soft_wrap=True)
        else:
            text = yaml.safe_dump(
                {title: value}, sort_keys=False, allow_unicode=True, default_flow_style=_flow(value), width=1000
            )
            console.print(text.rstrip(), markup=False, soft_wrap=True)


def _flow(value: Any) -> bool | None:
    """YAML's style: long texts one below the other, short lists and mappings in brackets; a lone scalar without."""
    if not isinstance(value, dict | list):
        return False
    texts = list(value.values() if isinstance(value, dict) else value)
    long = all(isinstance(text, str) for text in texts) and sum(map(len, texts)) > _LINE
    return False if long else None
