"""The search over a teacher's checkpoints, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

from kdbench.reports.difference import Difference
from kdbench.reports.studies.base import whole
from kdbench.reports.studies.evidence import Evidence
from kdbench.reports.table import Value
from kdbench.rows import TEACHER

SWEEP = "checkpoint-kd"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint of the teacher, and the student that learnt from it.

    Attributes:
        index: in the trajectory, from 0.
        method: the row that trains the student.
        epoch: of the teacher's training; NaN when the trajectory is not known.
        teacher_selection, teacher: the checkpoint's own score on the selection split and on the reported one.
        selection: the student's score on the selection split, mean over seeds; NaN unless whole.
        student: the student's score on the reported split.
    """

    index: int
    method: str
    epoch: float
    teacher_selection: float
    teacher: float
    selection: float
    student: Value | None

    def __str__(self) -> str:
        epoch = "" if math.isnan(self.epoch) else f" (epoch {self.epoch:g})"
        return f"checkpoint {self.index}{epoch}"


@dataclass(frozen=True)
class Other:
    """A method that takes what it takes once, beside the search."""

    method: str
    score: Value | None
    trainings: float
    updates: float
    to_oracle: Difference | None
    to_choice: Difference | None


@dataclass(frozen=True)
class Search:
    """The search over one teacher's checkpoints.

    Attributes:
        oracle: best on the reported split, seen with hindsight: an upper bound. Nothing unless every student is there.
        choice: what an honest search takes: best mean of the students' selection scores; the earliest of equals.
        worst: worst on the reported split.
        teachers_best: index of the teacher's own best on the selection split; nothing when it is not known.
        untried: checkpoints of the teacher from which no student was asked for.
        updates: student updates of one seed's whole search; NaN unless whole.
        spread: oracle minus worst; corrected for all pairs of checkpoints.
    """

    pair: str
    task: str
    checkpoints: tuple[Checkpoint, ...]
    oracle: Checkpoint | None
    choice: Checkpoint | None
    worst: Checkpoint | None
    teachers_best: int | None
    untried: tuple[int, ...]
    updates: float
    spread: Difference | None
    oracle_to_choice: Difference | None
    others: tuple[Other, ...]


def find_search(evidence: Evidence, pair: str, task: str) -> Search:
    """Collect one search from the records."""
    trajectory = _trajectory(evidence, pair, task)
    checkpoints = _checkpoints(evidence, pair, task, trajectory)
    students = [c.student.mean for c in checkpoints if c.student and whole(c.student)]
    complete = bool(checkpoints) and len(students) == len(checkpoints)
    oracle = checkpoints[students.index(max(students))] if complete else None
    worst = checkpoints[students.index(min(students))] if complete else None
    selections = [c.selection for c in checkpoints]
    known = complete and not any(map(math.isnan, selections))
    choice = checkpoints[selections.index(max(selections))] if known else None

    def difference(method: str, target: Checkpoint | None, choices: int = 1) -> Difference | None:
        return evidence.compare(task, (pair, method), (pair, target.method), choices) if target else None

    n = len(checkpoints)
    sweep = {checkpoint.method for checkpoint in checkpoints}
    others = tuple(
        Other(
            method,
            evidence.score(pair, task, method),
            1 + evidence.cost(pair, task, method, "assistants"),
            evidence.cost(pair, task, method, "student_updates"),
            difference(method, oracle, n),
            difference(method, choice),
        )
        for method in evidence.methods(pair, task)
        if method not in sweep
    )
    return Search(
        pair,
        task,
        checkpoints,
        oracle,
        choice,
        worst,
        max(trajectory, key=lambda index: (trajectory[index]["selection"], -index), default=None),
        tuple(sorted(set(trajectory) - {checkpoint.index for checkpoint in checkpoints})),
        sum(evidence.cost(pair, task, c.method, "student_updates") for c in checkpoints),
        difference(oracle.method, worst, max(1, n * (n - 1) // 2)) if oracle else None,
        difference(oracle.method, choice, n) if oracle else None,
        others,
    )


def _trajectory(evidence: Evidence, pair: str, task: str) -> dict[int, dict[str, Any]]:
    """Index -> what is known of the teacher's checkpoint; empty when the teacher's evaluation is not there."""
    record = evidence.record(pair, task, TEACHER, "trajectory")
    entries = cast(list[dict[str, Any]], record.details["checkpoints"]) if record else []
    return {entry["index"]: entry for entry in entries}


def _checkpoints(
    evidence: Evidence, pair: str, task: str, trajectory: dict[int, dict[str, Any]]
) -> tuple[Checkpoint, ...]:
    found = []
    for method in evidence.methods(pair, task):
        config = evidence.part_config(task, method, SWEEP)
        if config is None:
            continue
        index = config["checkpoint"]
        index += len(trajectory) if index < 0 else 0  # as the method counts from the end
        entry = trajectory.get(index, {})
        found.append(
            Checkpoint(
                index,
                method,
                entry.get("epoch", math.nan),
                entry.get("selection", math.nan),
                entry.get("score", math.nan),
                evidence.selection(pair, task, method),
                evidence.score(pair, task, method),
            )
        )
    return tuple(sorted(found, key=lambda checkpoint: checkpoint.index))
