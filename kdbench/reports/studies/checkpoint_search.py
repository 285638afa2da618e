"""Which checkpoint of the teacher to learn from, what the search costs, and whether one must (Pro-KD, problem 1)."""

from __future__ import annotations

import math
from collections.abc import Iterator

from kdbench.reports.difference import Difference
from kdbench.reports.entries import plain
from kdbench.reports.plots import Panel, Point, Series, Slot
from kdbench.reports.studies.base import (
    Section,
    Study,
    Table,
    gap,
    plot_point,
    whole,
    write_count,
    write_percent,
    write_score,
)
from kdbench.reports.studies.evidence import Evidence
from kdbench.reports.studies.search import SWEEP, Checkpoint, Other, Search, find_search
from kdbench.rows import CONTROLS

_GUIDE = """\
For every checkpoint of a teacher's training, a student was trained from it by `checkpoint-kd`. The *oracle* is the
checkpoint whose student is best on the reported split: it is chosen with hindsight, an upper bound that no search can
promise. The *honest search* takes the checkpoint whose student is best on the selection split. Both need one training
for every checkpoint; the other methods need no search. Differences are in points, with bootstrap intervals over paired
examples (and seeds, where there are several). What is compared with the oracle or with the worst checkpoint, which were
picked for being extreme, has an interval widened for the number of picks (Bonferroni). With one seed and accuracy,
*separable* means that McNemar's exact test, corrected likewise, gives p < 0.05; otherwise that the interval leaves out
0."""


def checkpoint_search(evidence: Evidence) -> Study:
    """One section for each pair and task."""
    board = evidence.board
    searches = [find_search(evidence, pair, task) for pair in board.pairs for task in board.tasks]
    return Study(
        "Which checkpoint of the teacher to learn from?",
        " ".join(_GUIDE.split()),
        "Above, the teacher's checkpoints on the reported split. Below, the student trained from each of them, and "
        "on the right the methods that need no search; the lines continue the oracle and the honest search.",
        tuple(_section(evidence, search) for search in searches if search.checkpoints or search.others),
    )


def _section(evidence: Evidence, search: Search) -> Section:
    return Section(
        f"{search.pair}: {search.task}",
        (_checkpoint_table(search), _cost_table(search)),
        tuple(_findings(search)),
        _panel(search, evidence.board.primary(search.task)),
        tuple(_data(evidence, search)),
    )


def _checkpoint_table(search: Search) -> Table:
    rows = []
    for checkpoint in search.checkpoints:
        marks = (
            ("teacher's best", checkpoint.index == search.teachers_best),
            ("oracle", checkpoint is search.oracle),
            ("honest search", checkpoint is search.choice),
        )
        rows.append(
            (
                str(checkpoint.index),
                "–" if math.isnan(checkpoint.epoch) else f"{checkpoint.epoch:g}",
                write_percent(checkpoint.teacher_selection),
                write_percent(checkpoint.teacher),
                write_percent(checkpoint.selection),
                write_score(checkpoint.student),
                ", ".join(name for name, true in marks if true),
            )
        )
    columns = ("checkpoint", "epoch", "teacher, selection", "teacher", "student, selection", "student", "which is the")
    return Table("The student of every checkpoint", columns, tuple(rows))


def _cost_table(search: Search) -> Table:
    apart = search.oracle_to_choice
    rows = [
        _searched("oracle (hindsight)", search.oracle, search, ("–", _write(apart))),
        _searched("honest search", search.choice, search, (_write(apart and apart.reversed()), "–")),
    ] * bool(search.checkpoints)
    rows += [
        (
            other.method,
            write_score(other.score),
            _write(other.to_oracle),
            _write(other.to_choice),
            write_count(other.trainings),
            write_count(other.updates),
        )
        for other in search.others
    ]
    columns = ("student", "score", "minus oracle", "minus honest search", "trainings", "student updates")
    return Table("What a search costs, and what goes without", columns, tuple(rows))


def _searched(
    name: str, checkpoint: Checkpoint | None, search: Search, differences: tuple[str, str]
) -> tuple[str, ...]:
    found = sum(whole(c.student) for c in search.checkpoints)
    score = write_score(checkpoint.student) if checkpoint else f"missing ({found}/{len(search.checkpoints)})"
    label = f"{name}: checkpoint {checkpoint.index}" if checkpoint else name
    return (label, score, *differences, str(len(search.checkpoints)), write_count(search.updates))


def _write(difference: Difference | None) -> str:
    return "–" if difference is None else str(difference)


def _findings(search: Search) -> Iterator[str]:
    n = len(search.checkpoints)
    if not n:
        yield "No student was trained from a single checkpoint here, so there is nothing to compare with."
        return
    if search.teachers_best is None:
        yield "The teacher's own scores at its checkpoints are missing."
    if search.untried:
        untried = ", ".join(map(str, search.untried))
        yield f"No student was asked for from checkpoint {untried}: what follows is about the others alone."
    lost = [c for c in search.checkpoints if not whole(c.student)]
    if lost:
        what = ", ".join(f"{c.index} ({c.student.status if c.student else 'not evaluated'})" for c in lost)
        yield f"Not whole: no score of the student of checkpoint {what}. Oracle and search are left open until then."
        return
    yield from _about_search(search, n)
    for other in search.others:
        if other.method not in CONTROLS:
            yield _about(other, search)
    yield _costs(search)


def _about_search(search: Search, n: int) -> Iterator[str]:
    oracle, choice, worst = search.oracle, search.choice, search.worst
    assert oracle and oracle.student and worst
    own = "" if search.teachers_best is None else f" The teacher itself is best at checkpoint {search.teachers_best}."
    yield (
        f"Oracle, an upper bound: of {n} checkpoints, the one with hindsight best for the student is {oracle}, "
        f"{write_score(oracle.student)}.{own}"
    )
    if choice is None:
        yield "The honest search is left open: scores on the selection split are missing."
    elif choice is oracle:
        yield f"An honest search finds the same checkpoint, after {n} trainings."
    else:
        distance = gap(choice.student, oracle.student, search.oracle_to_choice, "the oracle")
        yield f"An honest search takes {choice}, {write_score(choice.student)}: {distance}, after {n} trainings."
    if worst is oracle:
        yield (
            "All checkpoints give students of the same score; the first stands for all."
            if n > 1
            else "It is the only one."
        )
    else:
        distance = gap(oracle.student, worst.student, search.spread, f"that of {worst}")
        line = f"Best and worst checkpoint: the student of {oracle} is {distance}"
        doubt = search.spread is not None and not search.spread.separable
        yield line + (": these numbers do not show that the choice of a checkpoint matters." if doubt else ".")


def _about(other: Other, search: Search) -> str:
    if other.score is None or not whole(other.score):
        return f"`{other.method}`: {write_score(other.score)}, so nothing can be said about it."
    assert search.oracle
    line = f"`{other.method}`, {write_score(other.score)}: "
    line += gap(other.score, search.oracle.student, other.to_oracle, "the oracle")
    if search.choice:
        line += ", " + gap(other.score, search.choice.student, other.to_choice, "the honest search")
    return line + "."


def _costs(search: Search) -> str:
    """What the search took, and what the methods of the findings took."""
    groups: dict[str, list[str]] = {}
    for other in search.others:
        if other.method not in CONTROLS and not math.isnan(other.updates + other.trainings):
            factor = search.updates / other.updates if other.updates else math.nan
            share = "" if math.isnan(factor) else f", a search being {factor:.1f}× that"
            trainings = "one training" if other.trainings == 1 else f"{other.trainings:.0f} trainings"
            groups.setdefault(f"{trainings}, {write_count(other.updates)} student updates{share}", []).append(
                f"`{other.method}`"
            )
    line = f"Cost of a search: {len(search.checkpoints)} trainings, {write_count(search.updates)} student updates. "
    return line + " ".join(f"{', '.join(methods)}: {cost}." for cost, methods in groups.items())


def _panel(search: Search, metric: str) -> Panel:
    by_epoch = not any(math.isnan(checkpoint.epoch) for checkpoint in search.checkpoints)
    places = {c.index: c.epoch if by_epoch else float(c.index) for c in search.checkpoints}
    own = [Point(places[c.index], c.teacher) for c in search.checkpoints if not math.isnan(c.teacher)]
    levels = [
        (name, checkpoint.student.mean)
        for name, checkpoint in (("oracle", search.oracle), ("honest search", search.choice))
        if checkpoint and checkpoint.student
    ]
    if len({level for _, level in levels}) < len(levels):
        levels = [("oracle, honest search", levels[0][1])]
    return Panel(
        title=f"{search.pair}: {search.task} ({metric}, %)",
        x_label="teacher's checkpoint (epoch)" if by_epoch else "teacher's checkpoint",
        teacher=Series("teacher", tuple(own)),
        students=(Series(SWEEP, tuple(plot_point(places[c.index], c.student) for c in search.checkpoints)),),
        slots=tuple(
            Slot(other.method if whole(other.score) else f"{other.method} (none)", plot_point(0, other.score))
            for other in search.others
        ),
        levels=tuple(levels),
    )


def _data(evidence: Evidence, search: Search) -> Iterator[dict[str, object]]:
    checkpoints = {checkpoint.method: checkpoint for checkpoint in search.checkpoints}
    for method in evidence.methods(search.pair, search.task):
        checkpoint = checkpoints.get(method)
        selections = evidence.selections(search.pair, search.task, method)
        updates = evidence.cost(search.pair, search.task, method, "student_updates")
        for seed, score in evidence.scores(search.pair, search.task, method).items():
            yield {
                "pair": search.pair,
                "task": search.task,
                "method": method,
                "seed": seed,
                "checkpoint": checkpoint.index if checkpoint else None,
                "epoch": plain(checkpoint.epoch) if checkpoint else None,
                "teacher_selection": plain(checkpoint.teacher_selection) if checkpoint else None,
                "teacher_score": plain(checkpoint.teacher) if checkpoint else None,
                "student_selection": selections.get(seed),
                "student_score": score,
                "student_updates": plain(updates),
            }
