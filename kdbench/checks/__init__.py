"""Does a method keep the contract? Real trainings of tiny models on a tiny task of every kind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kdbench.budget import Updates
from kdbench.checks.objectives import check_objective
from kdbench.checks.training import TinyTask, tiny_task, train
from kdbench.errors import KDBenchError
from kdbench.methods.base import Method
from kdbench.methods.registry import METHODS, supported_kinds
from kdbench.methods.stages import Stage

UPDATES = 12
CHECKPOINTS = 3


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check."""

    method: str
    task: str
    check: str
    passed: bool
    detail: str = ""


class ContractError(KDBenchError):
    """A method broke the contract; the message says how."""


def check_method(name_or_file: str) -> list[CheckResult]:
    """Check a method by name, or every method that a plugin file registers.

    Raises:
        KDBenchError: the method cannot be found or the plugin cannot be loaded.
    """
    path = Path(name_or_file)
    names = METHODS.load_plugin(path) if path.suffix == ".py" else [name_or_file]
    return [result for name in names for result in _check(name)]


def _check(name: str) -> Iterator[CheckResult]:
    for kind in supported_kinds(name):
        with tempfile.TemporaryDirectory() as scratch:
            task = tiny_task(kind, Path(scratch), CHECKPOINTS)
            for title, function in _CHECKS.items():
                detail = ""
                passed = True
                try:
                    function(name, task)
                except Exception as error:  # whatever a third party's method raises is a finding
                    passed, detail = False, f"{type(error).__name__}: {error}" if not _own(error) else str(error)
                yield CheckResult(name, kind, title, passed, detail)


def _own(error: Exception) -> bool:
    return isinstance(error, KDBenchError)


def _stages(method: Method, task: TinyTask) -> list[Stage]:
    return method.stages(Updates(UPDATES, task.per_epoch), task.trajectory)


def _check_stages(name: str, task: TinyTask) -> None:
    """The budget is spent exactly, and only teachers that exist are asked for."""
    stages = _stages(METHODS.build(name, kind=task.kind), task)
    spent = sum(stage.steps for stage in stages)
    if spent != UPDATES:
        raise ContractError(f"stages take {spent} updates of a budget of {UPDATES}: use budget.split()")
    for stage in stages:
        if stage.distills and not any(leg.teacher for leg in stage.legs):
            raise ContractError(f"stage {stage.name} compares with a teacher, but no leg names one")
        for leg in stage.legs:
            if leg.teacher and leg.teacher.kind == "checkpoint" and not 0 <= leg.teacher.index < CHECKPOINTS:
                raise ContractError(f"stage {stage.name} asks for checkpoint {leg.teacher.index} of {CHECKPOINTS}")


def _check_objectives(name: str, task: TinyTask) -> None:
    """Terms are finite scalars in any dtype, on any device, whatever the order of the batch."""
    for stage in _stages(METHODS.build(name, kind=task.kind), task):
        problem = check_objective(stage.objective, task.kind, task.head.outputs)
        if problem:
            raise ContractError(f"stage {stage.name}: {problem}")


def _check_training(name: str, task: TinyTask) -> None:
    """The loss stays finite, every weight of the student moves, no teacher does."""
    before = task.teacher_digests()
    run = train(METHODS.build(name, kind=task.kind), task, seed=1, updates=UPDATES)
    if run.unmoved:
        raise ContractError(f"no gradient reaches {len(run.unmoved)} parameters of the student, e.g. {run.unmoved[0]}")
    if task.teacher_digests() != before:
        raise ContractError("a teacher was changed")
    if run.teacher_gradients:
        raise ContractError("a teacher got gradients")


def _check_determinism(name: str, task: TinyTask) -> None:
    """The same seed gives the same student, also when other trainings ran in between."""
    method = METHODS.build(name, kind=task.kind)
    first = train(method, task, seed=1, updates=UPDATES).weights
    other = train(method, task, seed=2, updates=UPDATES).weights
    if first == other:
        raise ContractError("another seed gives the same student: randomness is not drawn from the seed")
    if train(METHODS.build(name, kind=task.kind), task, seed=1, updates=UPDATES).weights != first:
        raise ContractError("the same seed gives another student")
    if train(method, task, seed=1, updates=UPDATES).weights != first:
        raise ContractError("a used method object gives another student than a fresh one: it keeps state between runs")


_CHECKS: dict[str, Callable[[str, TinyTask], None]] = {
    "spends the budget, names existing teachers": _check_stages,
    "objective: finite scalars in any dtype, device and order": _check_objectives,
    "training: finite loss, student learns, teacher frozen": _check_training,
    "deterministic, no state between runs": _check_determinism,
}

__all__ = ["CheckResult", "ContractError", "check_method"]
