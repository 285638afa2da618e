"""What is asked for: a task, a set of examples and attacks, checked before anything slow is loaded. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdbench.attacks.assets import missing_assets
from kdbench.attacks.spec import ATTACKS, AttackSpec
from kdbench.catalog import Catalog, SpecT
from kdbench.errors import AttackError, DataError, UnknownNameError
from kdbench.locations import Locations
from kdbench.schema import load_yaml
from kdbench.tasks.sources import Located, locate
from kdbench.tasks.spec import TASKS, DatasetSpec, TaskSpec


@dataclass(frozen=True)
class Request:
    """A task, examples of it, and attacks on them.

    Attributes:
        located: where the examples are.
    """

    task: TaskSpec
    dataset: DatasetSpec
    located: Located
    attacks: tuple[AttackSpec, ...]


def make_request(
    task_name: str, attack_names: Sequence[str], locations: Locations, *, on: str = "", split: str = ""
) -> Request:
    """Look everything up.

    Args:
        task_name: in the catalog, or a YAML file.
        attack_names: in the catalog, or YAML files.
        on: an out-of-domain set of the task; its own data when empty.
        split: instead of the one that is reported.

    Raises:
        UnknownNameError: no such task, attack or set.
        SuiteError: a file is not valid.
        AttackError: an attack is for something else, is named twice, or lacks what it needs.
        DataError: the examples cannot be had here, or have classes of their own.
    """
    task = _definition(TASKS, task_name)
    attacks = tuple(_definition(ATTACKS, name) for name in dict.fromkeys(attack_names))
    names = [attack.name for attack in attacks]
    if len(set(names)) < len(names):
        raise AttackError(f"two attacks are called {max(names, key=names.count)}: give one another name")
    for attack in attacks:
        _check(attack, task, locations)
    dataset = choose_dataset(task, on, split)
    located = locate(dataset.source, dataset.split, locations)
    if located.missing:
        raise DataError(located.missing)
    return Request(task, dataset, located, attacks)


def choose_dataset(task: TaskSpec, on: str = "", split: str = "") -> DatasetSpec:
    """The reported split of a task, or another one, or one of its out-of-domain sets.

    Raises:
        UnknownNameError: the task has no such set.
        DataError: its classes are not those of the task.
    """
    sets = {dataset.name: dataset for dataset in (*task.ood, task.evaluation_dataset())}
    if on and on not in sets:
        raise UnknownNameError(f"set of task {task.name}", on, sets)
    dataset = sets[on or task.name]
    if dataset.labels and dataset.labels != task.labels:
        raise DataError(
            f"{dataset.name}: has classes of its own ({', '.join(dataset.labels)}); attacks need those of task "
            f"{task.name} ({', '.join(task.labels)})"
        )
    return dataset.model_copy(update={"split": split}) if split else dataset


def _definition(catalog: Catalog[SpecT], name: str) -> SpecT:
    return load_yaml(Path(name), catalog.model) if name.endswith((".yaml", ".yml")) else catalog.get(name)


def _check(attack: AttackSpec, task: TaskSpec, locations: Locations) -> None:
    if task.attack_kind is None:
        raise AttackError(f"task {task.name} is {task.kind}: there are no attacks on it")
    if attack.kind != task.attack_kind:
        raise AttackError(
            f"attack {attack.name} is of kind {attack.kind}; task {task.name} needs one of kind {task.attack_kind} "
            "(kdbench list attacks)"
        )
    lacking = missing_assets(attack, locations.assets())
    if lacking:
        raise AttackError(f"attack {attack.name} needs {'; '.join(lacking)}")
