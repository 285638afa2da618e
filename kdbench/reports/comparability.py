"""Who may be ranked with whom: the same coverage, the same data, the same attacks, the same budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdbench.hashing import digest
from kdbench.reports.axes import AXES
from kdbench.reports.outcomes import OutcomeReader
from kdbench.reports.table import Leaderboard
from kdbench.rows import TEACHER

SetPlace = tuple[str, str]
"""(task, dataset or attack)."""


def sets_of_axis(board: Leaderboard, pair: str, axis: str) -> list[SetPlace]:
    """Tasks and sets that anybody was asked for on an axis, in order."""
    rows = [row for row in board.manifest.rows if row.pair == pair and row.evaluation == axis]
    return list(dict.fromkeys((row.task, row.dataset) for row in rows))


def comparable(
    board: Leaderboard, reader: OutcomeReader, pair: str, axis: str, reference: str
) -> tuple[list[str], list[str]]:
    """Methods of a pair that may be ranked together on an axis, and why the others may not.

    The measure is the reference method, or the first whole one where that is not whole itself: a method is ranked
    when it has outcomes of every seed on every set that any method was asked for, on the same examples, data, attack
    settings and training budget.
    """
    sets = sets_of_axis(board, pair, axis)
    methods = [method for method in board.methods(pair) if method != TEACHER]
    whole = [method for method in methods if _whole(board, reader, pair, method, axis, sets)]
    reasons = [
        f"{method} ({pair}): not whole {AXES[axis]}, not ranked there"
        for method in methods
        if method not in whole and sets
    ]
    if not whole:
        return [], reasons
    measure = reference if reference in whole else whole[0]
    ranked = []
    for method in whole:
        reason = _difference(board, reader, pair, axis, sets, method, measure)
        if reason:
            reasons.append(f"{method} ({pair}): {reason}, not ranked {AXES[axis]}")
        else:
            ranked.append(method)
    return ranked, reasons


def _whole(
    board: Leaderboard, reader: OutcomeReader, pair: str, method: str, axis: str, sets: Sequence[SetPlace]
) -> bool:
    return bool(sets) and all(
        reader.read(pair, task, method, axis, name, board.axis_metric(axis, task)) for task, name in sets
    )


def _difference(
    board: Leaderboard,
    reader: OutcomeReader,
    pair: str,
    axis: str,
    sets: Sequence[SetPlace],
    method: str,
    measure: str,
) -> str:
    """What keeps two whole methods from being compared; empty for nothing."""
    for task, name in sets:
        metric = board.axis_metric(axis, task)
        own, other = (reader.read(pair, task, who, axis, name, metric) for who in (method, measure))
        assert own is not None
        assert other is not None
        if own.seeds != other.seeds:
            return f"other seeds than {measure} on {task}"
        specs = [_specs(board, reader, pair, task, who, axis, name) for who in (method, measure)]
        for part, reason in _PARTS.items():
            if specs[0][part] != specs[1][part]:
                return f"{reason} than {measure} ({task}, {name})"
        if not own.paired_with(other):
            return f"other examples than {measure} ({task}, {name})"
    return ""


_PARTS = {
    "training data": "trained on other data",
    "budget": "trained with another budget",
    "data": "measured on other data",
    "settings": "measured with other settings",
    "version": "attacked by another version of the attack",
}

_SETTINGS = ("task", "metrics", "limit", "attack", "examples", "seed", "query_budget", "perturb")
"""Of an evaluation's spec, what tells how it was measured."""


def _specs(
    board: Leaderboard, reader: OutcomeReader, pair: str, task: str, method: str, axis: str, name: str
) -> dict[str, str]:
    """Digests of what methods that are compared must have in common."""
    records = [board.records[row.key] for row in reader.rows(pair, task, method, axis, name)]
    evaluations = [record.spec for record in records]
    rows = [r for r in board.manifest.rows if (r.pair, r.task, r.method, r.evaluation) == (pair, task, method, "")]
    trainings = [board.records[row.key].spec for row in rows if row.key in board.records]
    return {
        "training data": _common(_get(spec, "task", "data", "fingerprint") for spec in trainings),
        "budget": _common(spec.get("budget") for spec in trainings),
        "data": _common(_get(spec, "dataset", "fingerprint") for spec in evaluations),
        "settings": _common({name: spec.get(name) for name in _SETTINGS} for spec in evaluations),
        "version": _common(record.details.get("attack_version") for record in records),
    }


def _common(values: Any) -> str:
    return digest(sorted({digest(value) for value in values}))


def _get(spec: Mapping[str, Any], *names: str) -> Any:
    value: Any = spec
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
