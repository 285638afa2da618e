"""One student and teachers of growing size, as data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kdbench.hashing import canonical_json
from kdbench.reports.difference import Difference, contrast_interval
from kdbench.reports.studies.base import whole
from kdbench.reports.studies.evidence import Evidence
from kdbench.reports.table import Value
from kdbench.rows import TEACHER
from kdbench.stats.slope import Slope, least_squares_slope, slope_weights


@dataclass(frozen=True)
class Teacher:
    """One pair's teacher.

    Attributes:
        parameters: from its efficiency record; NaN when that is missing.
        score: its own, on the reported split.
    """

    pair: str
    parameters: float
    score: Value | None


@dataclass(frozen=True)
class Line:
    """One method's students, by teacher.

    Attributes:
        scores: of the pairs it was asked for, in the order of the teachers.
        taught: whether its students depend on the teacher at all.
        slope: score per doubling of the teacher's parameters; nothing where ``open_because`` says why.
        best_smaller: the smaller teacher with the best student; hindsight, like the oracle of a search.
        change: student of the largest teacher minus the student of ``best_smaller``; corrected for their number.
    """

    method: str
    scores: dict[str, Value | None]
    taught: bool
    slope: Slope | None
    open_because: str
    largest: Teacher | None
    best_smaller: Teacher | None
    change: Difference | None


@dataclass(frozen=True)
class Gap:
    """One student of one task.

    Attributes:
        student: what tells it from others, to be shown.
        teachers: by size; those of unknown size last.
    """

    task: str
    student: str
    teachers: tuple[Teacher, ...]
    lines: tuple[Line, ...]


def find_gaps(evidence: Evidence, task: str) -> list[Gap]:
    """Group the pairs of a task by student and collect each group."""
    return [
        Gap(task, name, teachers, tuple(find_lines(evidence, task, teachers)))
        for name, pairs in _students(evidence, task).items()
        if (teachers := _teachers(evidence, task, pairs))
    ]


def find_lines(evidence: Evidence, task: str, teachers: Sequence[Teacher]) -> list[Line]:
    """Every method that any of the pairs was asked for."""
    methods = dict.fromkeys(method for teacher in teachers for method in evidence.methods(teacher.pair, task))
    return [_line(evidence, task, method, teachers) for method in methods]


def _line(evidence: Evidence, task: str, method: str, teachers: Sequence[Teacher]) -> Line:
    asked = [teacher for teacher in teachers if evidence.rows(teacher.pair, task, method)]
    scores = {teacher.pair: evidence.score(teacher.pair, task, method) for teacher in asked}
    keys = {tuple(row.key for row in evidence.rows(teacher.pair, task, method)) for teacher in asked}
    taught = len(keys) > 1 or len(asked) == 1
    open_because = _why_open(asked, scores) if taught else "no teacher"
    slope = None
    if not open_because:
        slope = _slope(evidence, task, method, asked)
        open_because = "" if slope else "teachers of one size"
    largest, smaller, change = None, None, None
    if taught and _comparable(asked, scores):
        largest, rest = asked[-1], [t for t in asked if t.parameters < asked[-1].parameters]
        smaller = max(rest, key=lambda t: scores[t.pair].mean)  # type: ignore[union-attr]
        change = evidence.compare(task, (largest.pair, method), (smaller.pair, method), len(rest))
    return Line(method, scores, taught, slope, open_because, largest, smaller, change)


def _slope(evidence: Evidence, task: str, method: str, teachers: list[Teacher]) -> Slope | None:
    """With an interval that covers that of the points about the line and that of the points themselves."""
    doublings = [math.log2(teacher.parameters) for teacher in teachers]
    scores = [evidence.score(teacher.pair, task, method) for teacher in teachers]
    slope = least_squares_slope(doublings, [score.mean for score in scores if score])
    weights = slope_weights(doublings)
    if slope is None or weights is None:
        return None
    outcomes = [evidence.outcomes(teacher.pair, task, method) for teacher in teachers]
    known = [found for found in outcomes if found]
    metric = evidence.board.primary(task)
    sampling = contrast_interval(known, weights.tolist(), metric) if len(known) == len(outcomes) else None
    low, high = sampling or (slope.low, slope.high)
    return replace(slope, low=min(low, slope.low), high=max(high, slope.high))


def _why_open(teachers: list[Teacher], scores: dict[str, Value | None]) -> str:
    """Why there is no slope, or nothing."""
    done = sum(whole(value) for value in scores.values())
    if done < len(teachers):
        return f"{done} of {len(teachers)} students"
    if any(math.isnan(teacher.parameters) for teacher in teachers):
        return "a teacher of unknown size"
    return ("", "only one teacher", "only two teachers")[len(teachers)] if len(teachers) < 3 else ""


def _comparable(teachers: list[Teacher], scores: dict[str, Value | None]) -> bool:
    sizes = [teacher.parameters for teacher in teachers]
    known = not any(map(math.isnan, sizes)) and all(whole(value) for value in scores.values())
    return known and len(set(sizes)) > 1


def _teachers(evidence: Evidence, task: str, pairs: list[str]) -> tuple[Teacher, ...]:
    found = []
    for pair in pairs:
        size = evidence.board.get(pair, task, TEACHER, "efficiency", task, "parameters")
        found.append(Teacher(pair, size.mean if size else math.nan, evidence.score(pair, task, TEACHER)))
    return tuple(sorted(found, key=lambda t: (math.isnan(t.parameters), t.parameters)))


def _students(evidence: Evidence, task: str) -> dict[str, list[str]]:
    """Name -> pairs. Students are the same when they are built from the same weights and layers.

    A pair of which no student has finished is put to the only student there is, or stands alone.
    """
    groups: dict[str, list[str]] = {}
    unknown = []
    for pair in dict.fromkeys(row.pair for row in evidence.board.manifest.rows if row.task == task):
        keys = [row.key for method in evidence.methods(pair, task) for row in evidence.rows(pair, task, method)]
        record = next((evidence.board.records[key] for key in keys if key in evidence.board.records), None)
        if record:
            groups.setdefault(canonical_json(record.spec.get("model")), []).append(pair)
        else:
            unknown.append(pair)
    if len(groups) == 1:
        next(iter(groups.values())).extend(unknown)
    else:
        groups |= {pair: [pair] for pair in unknown}
    return {_student_name(evidence, task, pairs, len(groups) > 1): pairs for pairs in groups.values()}


def _student_name(evidence: Evidence, task: str, pairs: list[str], several: bool) -> str:
    """By its size, and by its pairs where there are several."""
    board = evidence.board
    sizes = [
        size.mean
        for pair in pairs
        for method in evidence.methods(pair, task)
        if (size := board.get(pair, task, method, "efficiency", task, "parameters")) and not math.isnan(size.mean)
    ]
    name = f"student of {write_size(sizes[0])} parameters" if sizes else "student"
    return f"{name} ({', '.join(pairs)})" if several else name


def write_size(parameters: float) -> str:
    """``22.7 M``, ``278 k``."""
    if math.isnan(parameters):
        return "unknown size"
    scale, unit = (1e6, " M") if parameters >= 999_500 else (1e3, " k")
    return f"{parameters / scale:.3g}{unit}" if parameters >= 1000 else f"{parameters:.0f}"
