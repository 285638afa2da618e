"""``kdbench attack``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kdbench.cli.options import NameList, json_option, location_options, make_locations
from kdbench.errors import KDBenchError

if TYPE_CHECKING:
    from kdbench.victims.results import Results
    from kdbench.victims.session import Session


@click.command("attack")
@click.option(
    "--model", "folder", type=click.Path(path_type=Path), required=True,
    help="Directory of a saved Hugging Face model, or of a teacher's or student's cell in a store.",
)  # fmt: skip
@click.option("--task", "task_name", required=True, help="Name of a task, or a YAML file that defines one.")
@click.option(
    "--attack", "attack_names", required=True, multiple=True,
    help="Name of an attack, or a YAML file that defines one; may be repeated.",
)  # fmt: skip
@click.option("--on", "dataset_name", default="", help="One of the task's out-of-domain sets [its own data].")
@click.option("--split", default="", help="Another split [the one that is reported].")
@click.option("--examples", type=click.IntRange(1), default=100, show_default=True, help="How many are sampled.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the sample and of the attacks.")
@click.option(
    "--query-budget", type=click.IntRange(2), default=500, show_default=True,
    help="Most model queries for a text or question.",
)  # fmt: skip
@click.option(
    "--perturb", type=click.Choice(["first", "second"]), default="second", show_default=True,
    help="Which text of a pair is changed.",
)  # fmt: skip
@click.option(
    "--labels", type=NameList(), default=(), help="The task's classes in the order of the model's outputs [its own]."
)
@location_options
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True,
    help="Where the model runs; auto is a GPU if there is one.",
)  # fmt: skip
@click.option(
    "--store", type=click.Path(path_type=Path, file_okay=False), envvar="KDBENCH_STORE",
    help="Share work that does not depend on the model with this store's attacks [the user's cache].",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False),
    help="Keep outcomes here; the same command goes on where it stopped.",
)  # fmt: skip
@click.option("--show", type=click.IntRange(0), default=0, help="Print so many changed texts of each attack.")
@json_option
def command(
    folder: Path,
    task_name: str,
    attack_names: tuple[str, ...],
    dataset_name: str,
    split: str,
    labels: tuple[str, ...],
    data: tuple[Path, ...],
    models: tuple[Path, ...],
    offline: bool,
    device: str,
    store: Path | None,
    out: Path | None,
    show: int,
    as_json: bool,
    **settings: Any,
) -> None:
    """Attack a saved model, one of kdbench's own or any other of its kind.

    The examples are those that a suite with the same numbers attacks. Exit code: 0 done, 2 bad input,
    130 interrupted.
    """
    from kdbench.victims.request import make_request

    locations = make_locations(data, models, offline)
    request = make_request(task_name, attack_names, locations, on=dataset_name, split=split)
    if show and request.task.modality == "image":
        raise KDBenchError("--show: images cannot be shown here; --out DIR keeps them")

    from kdbench.cli.attack_output import print_results, warn
    from kdbench.cli.console import print_json
    from kdbench.victims.results import Results
    from kdbench.victims.session import Settings, open_session

    memo = (store / "cache" if store else locations.cache) / "attacks"
    session = open_session(folder, request, Settings(**settings), locations, labels=labels, memo=memo, device=device)
    for warning in session.victim.warnings:
        warn(warning)
    results = Results(out, session.identity)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what batch systems send is an interrupt, too
    interrupted = False
    try:
        interrupted = not _attack(session, results)
    finally:  # one attack may be impossible on this model; what is finished is shown first
        if as_json:
            print_json(results.as_json(show))
        elif results.tables:
            print_results(session, results, show)
    if interrupted:
        kept = f"finished attacks are in {out}; the same command goes on from there"
        warn(f"interrupted: {kept if out else 'give --out DIR to keep finished attacks and go on from there'}")
        sys.exit(130)


def _attack(session: Session, results: Results) -> bool:
    """Carry out what is not finished; returns whether it came to the end."""
    from kdbench.cli.attack_output import say, warn, watch

    doubts: set[str] = set()
    try:
        for attack in session.request.attacks:
            version = session.version(attack)
            if results.finished(attack.name, version):
                say(f"{attack.name}: was done before")
            else:
                results.create()
                with watch(attack.name) as report:
                    results.keep(attack.name, *session.run(attack, report, results.state(attack.name, version)))
            entry = results.summary.attacks[attack.name]
            for doubt in (*(f"{attack.name}: {flag}" for flag in entry.flags), *session.doubts(entry)):
                if doubt not in doubts:
                    warn(doubt)
                    doubts.add(doubt)
    except KeyboardInterrupt:
        return False
    return True
