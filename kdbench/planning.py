"""Small pure functions of the planner: choosing by name, and writing things down for specs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kdbench.budget import Budget
from kdbench.errors import PlanError, UnknownNameError
from kdbench.hashing import file_digest
from kdbench.machine import supports_bf16
from kdbench.methods.base import Method
from kdbench.methods.registry import METHODS
from kdbench.suite import MethodEntry, Suite


def choose(kind: str, known: Any, wanted: Iterable[str]) -> list[Any]:
    """The definitions of the wanted names, in the suite's order; all of them when none is wanted."""
    names = tuple(wanted)
    unknown = [name for name in names if name not in known]
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(known)}"
        raise PlanError(f"the suite has no {kind} '{unknown[0]}': {hint}")
    return [value for name, value in known.items() if not names or name in names]


def resolve_precision(budget: Budget, device: str) -> Budget:
    """``auto`` becomes what this machine is good at: keys and records name the precision that was used."""
    if budget.precision != "auto":
        return budget
    return budget.model_copy(update={"precision": "bf16" if supports_bf16(device) else "fp32"})


Methods = dict[str, dict[str, Method | None]]
"""Name in the tables -> kind of task -> method, or nothing where it is not defined for the kind."""


def build_methods(
    suite: Suite, wanted: Iterable[str], changes: dict[str, dict[str, Any]], checkpoints: dict[str, int]
) -> Methods:
    """The methods of a run: the suite's controls first, then the wanted ones (the suite's when none).

    Args:
        changes: settings by name of a method's part, as ``--set`` gives them.
        checkpoints: kind of task in the suite -> checkpoints that its teachers leave.

    Raises:
        UnknownNameError, MethodError, PlanError: a name, a setting, or a setting of no method.
    """
    chosen = [*suite.controls, *(tuple(wanted) or suite.methods)]
    methods: Methods = {}
    for name in dict.fromkeys(chosen):
        entry = suite.methods.get(name) or MethodEntry(name=name, method=name)
        for single, kinds in _spread(entry, checkpoints, changes):
            methods[single.name] = {kind: _build(suite, single, kind, changes) for kind in kinds}
    built = [method for kinds in methods.values() for method in kinds.values() if method]
    used = {part.name for method in built for part in method.parts()}
    for name in changes:
        if name not in used:
            raise PlanError(f"--set {name}.…: no method of this run is called {name} ({', '.join(sorted(used))})")
    return methods


def _spread(
    entry: MethodEntry, checkpoints: dict[str, int], changes: dict[str, dict[str, Any]]
) -> list[tuple[MethodEntry, list[str]]]:
    """An entry for every checkpoint where that is asked for, each with the kinds of task that have it."""
    if not entry.every_checkpoint:
        return [(entry, list(checkpoints))]
    if "checkpoint" in changes.get(entry.method, {}):
        raise PlanError(f"--set {entry.method}.checkpoint: the suite trains from every checkpoint")
    spread = []
    for index in range(max(checkpoints.values(), default=0)):
        config = {**entry.config, "checkpoint": index}
        single = MethodEntry(name=f"{entry.name}-{index}", method=entry.method, config=config)
        spread.append((single, [kind for kind, count in checkpoints.items() if index < count]))
    return spread


def _build(suite: Suite, entry: MethodEntry, kind: str, changes: dict[str, dict[str, Any]]) -> Method | None:
    """One method for one kind of task; nothing when it is not defined for that kind.

    Settings that the method has on other kinds of task only are left out.
    """
    parts = [part.strip() for part in entry.method.split("+")]
    settings = {part: dict(values) for part, values in changes.items()}
    if entry.config:
        settings[parts[0]] = {**entry.config, **settings.get(parts[0], {})}
    try:
        classes = {part: METHODS.get(part) for part in parts}
    except UnknownNameError as error:
        unknown = next(part for part in parts if part not in METHODS.names())
        raise UnknownNameError("method", unknown, {*METHODS.names(), *suite.methods}) from error
    if not all(kind in cls.kinds for cls in classes.values()):
        return None
    for part, cls in classes.items():
        own, known = _fields(cls, kind), set.union(*(_fields(cls, each) for each in cls.kinds))
        given = settings.get(part, {})
        settings[part] = {name: value for name, value in given.items() if name in own or name not in known}
    return METHODS.build(entry.method, settings, kind)


def _fields(cls: type[Method], kind: str) -> set[str]:
    return set(cls.config_class(kind).model_fields)


def checkpoints_by_kind(suite: Suite, budget: Budget) -> dict[str, int]:
    """Kind of task in the suite -> checkpoints that its teachers leave."""
    return {task.kind: budget.of_modality(task.modality).trajectory_length for task in suite.tasks.values()}


def method_view(method: Method) -> list[dict[str, Any]]:
    """Of a method, what can change a training: its parts, their settings and who provides them."""
    return [
        {"name": part.name, "config": part.config.model_dump(mode="json"), "source": METHODS.source(part.name)}
        for part in method.parts()
    ]


def upstream_keys(spec: dict[str, Any]) -> list[str]:
    """Keys of the cells that a spec is built on."""
    return _flat(spec.get("upstream", {}).values())


def _flat(values: Iterable[Any]) -> list[str]:
    found: list[str] = []
    for value in values:
        found += _flat(value) if isinstance(value, list) else [value] if value else []
    return found


def plain(value: Any) -> Any:
    """Tuples to lists: what JSON gives back."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def without_places(value: Any) -> Any:
    """A definition in which local data files are told by their content: where they lie does not matter."""
    if isinstance(value, list):
        return [without_places(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {split: _content(Path(path)) for split, path in item.items()}
        if key == "files" and isinstance(item, dict)
        else without_places(item)
        for key, item in value.items()
    }


def _content(path: Path) -> str:
    return file_digest(path) if path.is_file() else "missing"
