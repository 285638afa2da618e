"""``kdbench fetch``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from kdbench.cli.options import NameList, location_options, make_locations, suite_option


@click.command("fetch")
@suite_option
@click.option("--to", "target", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where to.")
@click.option("--pairs", type=NameList(), default=(), help="Only these pairs.")
@click.option("--tasks", type=NameList(), default=(), help="Only these tasks.")
@click.option("--attacks", type=NameList(), default=(), help="Only the assets of these attacks.")
@location_options
def command(
    suite_name: str,
    target: Path,
    pairs: tuple[str, ...],
    tasks: tuple[str, ...],
    attacks: tuple[str, ...],
    data: tuple[Path, ...],
    models: tuple[Path, ...],
    offline: bool,
) -> None:
    """Download datasets, models and attack assets into DIR/data and DIR/models.

    Then, on a machine without internet: kdbench run --suite S --data DIR/data --models DIR/models
    --offline. Exit code 1 when something could not be had.
    """
    from kdbench.cli.console import console
    from kdbench.errors import KDBenchError, UnknownNameError
    from kdbench.fetch import fetch_suite
    from kdbench.suite import load_suite

    suite = load_suite(suite_name)
    for kind, chosen, known in (
        ("pair", pairs, suite.pairs),
        ("task", tasks, suite.tasks),
        ("attack", attacks, suite.attacks),
    ):
        for name in chosen:
            if name not in known:
                raise UnknownNameError(kind, name, known)
    locations = make_locations(data, models, offline)
    mirrors = [target / "data", target / "models"]
    try:
        for folder in mirrors:  # also when nothing goes into one of them: run wants both to exist
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KDBenchError(f"{target}: cannot be written: {error.strerror}") from error
    problems = 0
    for item in fetch_suite(suite, target, locations, pairs, tasks, attacks):
        problems += bool(item.problem)
        text = f"{item.status:8} {item.kind} {item.name}" + (f": {item.problem}" if item.problem else "")
        console.print(text, soft_wrap=True, markup=False)
    command = ["kdbench", "run", "--suite", suite_name, "--data", str(mirrors[0]), "--models", str(mirrors[1])]
    command += ["--pairs", ",".join(pairs)] if pairs else []
    command += ["--tasks", ",".join(tasks)] if tasks else []
    command += [] if problems else ["--offline"]
    console.print(f"use it with: {shlex.join(command)}", soft_wrap=True, markup=False)
    if problems:
        console.print(
            f"{problems} could not be had: --offline would stop at that; without it, out-of-domain sets and attacks "
            "that are missing are left out",
            soft_wrap=True,
            markup=False,
        )
    sys.exit(1 if problems else 0)
