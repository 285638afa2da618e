"""Is a bigger teacher a better teacher? Student score against the teacher's size (Pro-KD, problem 2)."""

from __future__ import annotations

import math
from collections.abc import Iterator

from kdbench.reports.entries import plain
from kdbench.reports.plots import Panel, Series
from kdbench.reports.studies.base import Section, Study, Table, gap, plot_point, whole, write_score
from kdbench.reports.studies.evidence import Evidence
from kdbench.reports.studies.gap import Gap, Line, Teacher, find_gaps, write_size
from kdbench.reports.table import Value
from kdbench.rows import CONTROLS

_GUIDE = """\
One student learnt from teachers of growing size. The *slope* is what a doubling of the teacher's parameters adds to the
student's score, in points: least squares over the teachers' students (means over seeds) on the logarithm of size. Its
interval covers two 95 % intervals: a t-interval with teachers - 2 degrees of freedom, for what is no straight line, and
a bootstrap over paired examples (and seeds), for these very teachers. With fewer than three teachers a slope is not
determinable. *Does a bigger teacher hurt?* compares the student of the largest teacher
with the best student of a smaller one, in points, with a bootstrap interval over paired examples (and seeds, where
there are several), widened for the number of smaller teachers that the best was picked from (Bonferroni). With one seed
and accuracy, *separable* means that McNemar's exact test, corrected likewise, gives p < 0.05; otherwise that the
interval leaves out 0."""


def capacity_gap(evidence: Evidence) -> Study:
    """One section for each task and student."""
    gaps = [found for task in evidence.board.tasks for found in find_gaps(evidence, task)]
    return Study(
        "Is a bigger teacher a better teacher?",
        " ".join(_GUIDE.split()),
        "Above, the teachers on the reported split by size (logarithmic). Below, the same student trained from each "
        "of them; dotted, methods without a teacher.",
        tuple(_section(evidence, found) for found in gaps),
    )


def _section(evidence: Evidence, found: Gap) -> Section:
    return Section(
        f"{found.task}: {found.student}",
        (_score_table(found), _change_table(found)),
        tuple(_findings(found)),
        _panel(found, evidence.board.primary(found.task)),
        tuple(_data(evidence, found)),
    )


def _score_table(found: Gap) -> Table:
    rows = [("teacher itself", *(write_score(teacher.score) for teacher in found.teachers), "")]
    rows += [
        (line.method, *(write_score(line.scores.get(teacher.pair)) for teacher in found.teachers), _slope(line))
        for line in found.lines
    ]
    titles = (f"{teacher.pair} ({write_size(teacher.parameters)})" for teacher in found.teachers)
    return Table("The student of every teacher", ("method", *titles, "slope per doubling"), tuple(rows))


def _slope(line: Line) -> str:
    if line.slope is None:
        return "–" if not line.taught else f"not determinable ({line.open_because})"
    value, low, high = (100 * number + 0.0 for number in (line.slope.value, line.slope.low, line.slope.high))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _change_table(found: Gap) -> Table:
    rows = []
    for line in found.lines:
        if line.largest and line.best_smaller:
            largest, smaller = (line.scores[t.pair] for t in (line.largest, line.best_smaller))
            ends = (f"{line.largest.pair}: {_mean(largest)}", f"{line.best_smaller.pair}: {_mean(smaller)}")
            rows.append(
                (line.method, *ends, str(line.change) if line.change else f"{_points(largest, smaller)}, not tested")
            )
        elif line.taught:
            rows.append((line.method, "–", "–", f"not determinable ({line.open_because or 'teachers of one size'})"))
    columns = ("method", "largest teacher", "best smaller teacher", "difference")
    return Table("Does a bigger teacher hurt?", columns, tuple(rows))


def _mean(value: Value | None) -> str:
    return f"{value.mean * 100:.1f}" if value else "–"


def _points(first: Value | None, second: Value | None) -> str:
    return f"{(first.mean - second.mean) * 100:+.1f}" if first and second else "–"


def _findings(found: Gap) -> Iterator[str]:
    if len(found.teachers) < 2:
        yield f"Only one teacher ({found.teachers[0].pair}): there is no size to compare."
    for teacher in found.teachers:
        if math.isnan(teacher.parameters):
            yield f"The teacher of {teacher.pair} is not in the figure: its size is unknown (no efficiency record)."
    for line in found.lines:
        if line.taught and line.method not in CONTROLS and len(found.teachers) > 1:
            yield f"`{line.method}`: {_trend(line)} {_hurt(line)}"


def _trend(line: Line) -> str:
    if line.slope is None:
        return f"the slope is not determinable ({line.open_because})."
    change = f"{'gains' if line.slope.value > 0 else 'loses'} {abs(line.slope.value) * 100:.2f} points"
    doubt = ", an interval that holds 0: no trend is shown" if line.slope.low <= 0 <= line.slope.high else ""
    return f"the student {change} per doubling of the teacher {_slope(line).partition(' ')[2]}{doubt}."


def _hurt(line: Line) -> str:
    if not (line.largest and line.best_smaller):
        return "Whether the largest teacher hurts is open."
    largest, smaller = (line.scores[t.pair] for t in (line.largest, line.best_smaller))
    distance = gap(largest, smaller, line.change, f"the best of a smaller one ({line.best_smaller.pair})")
    ends = f"the student of the largest teacher ({line.largest.pair}) is {distance}"
    if not (largest and smaller) or line.change is None:
        return f"{ends[0].upper()}{ends[1:]}."
    if largest.mean >= smaller.mean:
        return f"The largest teacher does not hurt: {ends}."
    if line.change.separable:
        return f"The largest teacher hurts: {ends}."
    return f"That the largest teacher hurts is not shown: {ends}."


def _panel(found: Gap, metric: str) -> Panel:
    sized = [teacher for teacher in found.teachers if not math.isnan(teacher.parameters)]
    own = [plot_point(t.parameters, t.score) for t in sized]
    levels = []
    for line in found.lines:
        value = next((v for v in line.scores.values() if v is not None and whole(v)), None)
        if not line.taught and value is not None:
            levels.append((line.method, value.mean))
    return Panel(
        title=f"{found.task}: {found.student} ({metric}, %)",
        x_label="parameters of the teacher",
        teacher=Series("teacher", tuple(own)),
        students=tuple(
            Series(
                line.method,
                tuple(plot_point(t.parameters, line.scores[t.pair]) for t in sized if t.pair in line.scores),
            )
            for line in found.lines
            if line.taught
        ),
        levels=tuple(levels),
        ticks=tuple((parameters, write_size(parameters)) for parameters in dict.fromkeys(t.parameters for t in sized)),
        log_x=True,
    )


def _data(evidence: Evidence, found: Gap) -> Iterator[dict[str, object]]:
    for teacher in found.teachers:
        for line in found.lines:
            for seed, score in evidence.scores(teacher.pair, found.task, line.method).items():
                yield {
                    "task": found.task,
                    "student": found.student,
                    "pair": teacher.pair,
                    "teacher_parameters": plain(teacher.parameters),
                    "teacher_score": _number(teacher),
                    "method": line.method,
                    "seed": seed,
                    "student_score": None if score is None else plain(score),
                }


def _number(teacher: Teacher) -> float | None:
    return plain(teacher.score.mean) if teacher.score and whole(teacher.score) else None
