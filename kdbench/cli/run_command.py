"""``kdbench run``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click

from kdbench.cli.options import (
    load_plugins,
    location_options,
    make_locations,
    make_selection,
    plugin_option,
    selection_options,
    store_option,
    suite_option,
)


@click.command("run")
@suite_option
@selection_options
@store_option
@location_options
@plugin_option
@click.option("--jobs", type=click.IntRange(1), help="Worker processes [GPUs, or CPU cores up to 8].")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where cells run; auto is a GPU if there is one.",
)
@click.option("--tracker", "trackers", multiple=True, help="Also log to tensorboard, wandb, trackio …")
@click.option("--dry-run", is_flag=True, help="Plan, show, and stop.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first cell that fails.")
def command(
    suite_name: str,
    store: Path,
    data: tuple[Path, ...],
    models: tuple[Path, ...],
    offline: bool,
    plugins: tuple[Path, ...],
    jobs: int | None,
    device: str,
    trackers: tuple[str, ...],
    dry_run: bool,
    fail_fast: bool,
    **selection: Any,
) -> None:
    """Train every method on every pair and task of a suite, then evaluate and attack every student.

    Finished cells are kept in the store and never computed again; an interrupted run goes on where it
    stopped. Exit code: 0 all finished, 1 some cells failed, 2 bad input, 130 interrupted.
    """
    from kdbench.cli.console import console, show_plan
    from kdbench.cli.progress import watch
    from kdbench.engines.local import LocalEngine
    from kdbench.hub import with_hub_checked
    from kdbench.machine import default_jobs, visible_gpus
    from kdbench.manifest import update_manifest
    from kdbench.plan import make_plan
    from kdbench.store import Store
    from kdbench.suite import load_suite

    load_plugins(plugins)
    suite = load_suite(suite_name)
    chosen = make_selection(**selection, device=device)
    locations = make_locations(data, models, offline)
    if not dry_run:
        locations = with_hub_checked(suite, chosen, locations)
    plan = make_plan(suite, chosen, locations, strict=offline)
    target = Store(store)
    if dry_run:
        show_plan(plan, target)
        return
    target.create()
    for path in plugins:
        target.put_plugin(path)
    gpus = () if device == "cpu" else visible_gpus()
    engine = LocalEngine(locations, jobs=jobs or default_jobs(gpus), device=device, gpus=gpus, trackers=trackers)
    update_manifest(target, plan, shown_command())
    _tell_skipped(plan)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what batch systems send is an interrupt, too
    with watch(plan, target) as on_event:
        outcome = engine.run(plan, target, on_event, fail_fast=fail_fast)
    if outcome.interrupted:
        console.print("interrupted: nothing finished is lost; the same command goes on from here")
        sys.exit(130)
    console.print(
        f"{len(outcome.finished)} cells finished, {len(outcome.reused)} were done before, "
        f"{len(outcome.failed)} failed, {len(outcome.blocked)} wait for a failed one",
        soft_wrap=True,
    )
    for key in outcome.failed:
        failure = target.failure(key)
        reason = failure.message.splitlines()[0] if failure else "unknown (the disk may be full)"
        console.print(f"failed: {plan.cells[key].title}: {reason}", style="red", soft_wrap=True, markup=False)
        console.print(f"        traceback in {target.root / 'failed' / key}.json", soft_wrap=True, markup=False)
    option = "" if store == _default_store() else f" --store {store}"
    console.print(f"leaderboard: kdbench report --suite {suite.name}{option}", soft_wrap=True, markup=False)
    if outcome.failed:
        sys.exit(1)


def shown_command() -> str:
    """The command line as a user would type it again."""
    import shlex

    return shlex.join(["kdbench", *sys.argv[1:]])


def _default_store() -> Path:
    from kdbench.cli.options import DEFAULT_STORE

    return DEFAULT_STORE


def _tell_skipped(plan: Any) -> None:
    from kdbench.cli.console import console

    if plan.skipped:
        console.print(f"{len(plan.skipped)} evaluations cannot be had here and are left out:", soft_wrap=True)
        for item in plan.skipped:
            line = f"  {item.task} {item.evaluation} {item.dataset}: {item.reason}"
            console.print(line, soft_wrap=True, markup=False, highlight=False)
