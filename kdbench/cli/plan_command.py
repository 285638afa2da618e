"""``kdbench plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kdbench.cli.options import (
    json_option,
    load_plugins,
    location_options,
    make_locations,
    make_selection,
    plugin_option,
    selection_options,
    store_option,
    suite_option,
)


@click.command("plan")
@suite_option
@selection_options
@store_option
@location_options
@plugin_option
@json_option
def command(
    suite_name: str,
    store: Path,
    data: tuple[Path, ...],
    models: tuple[Path, ...],
    offline: bool,
    plugins: tuple[Path, ...],
    as_json: bool,
    **selection: Any,
) -> None:
    """Show the cells of a run: how many, which are done, what training costs, how long the rest takes.

    Needs no network: data that would come from the hub is taken to be there unless --offline.
    """
    from kdbench.cli.console import plan_summary, print_json, show_plan
    from kdbench.plan import make_plan
    from kdbench.store import Store
    from kdbench.suite import load_suite

    load_plugins(plugins)
    locations = make_locations(data, models, offline)
    plan = make_plan(load_suite(suite_name), make_selection(**selection), locations, strict=offline)
    if as_json:
        print_json(plan_summary(plan, Store(store)))
    else:
        show_plan(plan, Store(store))
