"""Lines for pictures: what is kept under attacks of growing budget, and how trainings went."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, cast

import numpy as np
import pandas as pd

from kdbench.record import EXAMPLES_FILE
from kdbench.reports.comparability import sets_of_axis
from kdbench.reports.model import Curve
from kdbench.reports.outcomes import OutcomeReader
from kdbench.reports.table import Leaderboard
from kdbench.stats.intervals import wilson_interval
from kdbench.stats.robustness import security_curve
from kdbench.store import Store

_STEPS = (1, 2, 5)
LOG_FILE = "log.jsonl"


def security_curves(store: Store, board: Leaderboard, reader: OutcomeReader) -> Iterator[Curve]:
    """Accuracy under attack over the query budget (texts, from one run each) or over epsilon (images)."""
    for pair in board.pairs:
        for task in board.tasks:
            names = [name for its, name in sets_of_axis(board, pair, "attack") if its == task]
            for method in board.methods(pair):
                if board.manifest.kinds[task] == "image-classification":
                    yield from _over_epsilon(board, reader, pair, task, method, names)
                else:
                    for name in names:
                        yield from _over_queries(store, board, reader, pair, task, method, name)


def _over_queries(
    store: Store, board: Leaderboard, reader: OutcomeReader, pair: str, task: str, method: str, name: str
) -> Iterator[Curve]:
    """A search that was given fewer queries would have stopped earlier on the same path: one run gives all budgets."""
    rows = reader.rows(pair, task, method, "attack", name)
    records = [board.records.get(row.key) for row in rows]
    if not rows or not all(record and EXAMPLES_FILE in record.files for record in records):
        return
    tables = [pd.read_parquet(store.cell(row.key) / EXAMPLES_FILE, columns=["outcome", "queries"]) for row in rows]
    budgets = _budgets(max(int(cast(Any, record).spec.get("query_budget", 0)) for record in records))
    kept = np.array([security_curve(_broken_at(table), np.asarray(budgets)) for table in tables])
    yield _curve(f"{pair} · {task} · {name}", method, budgets, kept, len(tables[0]), "queries allowed")


def _broken_at(table: pd.DataFrame) -> np.ndarray:
    lost = np.where(table["outcome"] == "success", table["queries"], np.inf)
    return np.where(table["outcome"] == "skipped", 0.0, lost)


def _budgets(largest: int) -> tuple[int, ...]:
    """1, 2, 5, 10, 20, … up to the budget that was given."""
    found = [base * 10**power for power in range(7) for base in _STEPS]
    return (*(budget for budget in found if budget < largest), largest)


def _over_epsilon(
    board: Leaderboard, reader: OutcomeReader, pair: str, task: str, method: str, names: list[str]
) -> Iterator[Curve]:
    """An attack of several epsilons is a curve by itself; those that differ in epsilon alone are joined by norm.

    Epsilon 0 is the clean accuracy of the same sample.
    """
    by_norm: dict[str, dict[float, tuple[np.ndarray, np.ndarray, int]]] = defaultdict(dict)
    for name in names:
        rows = reader.rows(pair, task, method, "attack", name)
        records = [board.records[row.key] for row in rows if row.key in board.records]
        if not rows or len(records) < len(rows):
            continue
        attack = cast(Any, records[0].spec).get("attack", {})
        examples = cast(int, records[0].details.get("examples", 0))
        if attack.get("epsilons"):
            points = np.array([cast(Any, record.details["security_curve"]) for record in records])
            title = f"epsilon ({attack['norm']})"
            yield _curve(f"{pair} · {task} · {name}", method, points[0, :, 0], points[:, :, 1], examples, title)
            continue
        values = [np.array([r.metrics[m] for r in records]) for m in ("accuracy_under_attack", "clean_accuracy")]
        by_norm[str(attack.get("norm"))][float(attack.get("epsilon", math.nan))] = (values[0], values[1], examples)
    for norm, at in by_norm.items():
        if len(at) < 2:
            continue
        epsilons = sorted(at)
        kept = np.stack([at[epsilons[0]][1], *(at[epsilon][0] for epsilon in epsilons)], axis=1)
        panel = f"{pair} · {task} · worst case, {norm}"
        yield _curve(panel, method, (0.0, *epsilons), kept, at[epsilons[0]][2], f"epsilon ({norm})")


def _curve(panel: str, method: str, x: Iterable[float], kept: np.ndarray, examples: int, x_title: str) -> Curve:
    """Mean over seeds ``(seeds, points)``; intervals are Wilson's of the mean over the examples."""
    mean = kept.mean(0)
    bounds = [wilson_interval(float(value) * examples, examples) for value in mean]
    low, high = (tuple(float(pair[side]) for pair in bounds) for side in (0, 1))
    return Curve(panel, method, tuple(map(float, x)), tuple(map(float, mean)), low, high, x_title, "still right")


def training_curves(store: Store, board: Leaderboard) -> Iterator[Curve]:
    """Selection scores in the mean over seeds, and the terms of the loss of the first seed."""
    rows = [row for row in board.manifest.rows if not row.evaluation and row.key in board.records]
    grouped: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.seed):
        grouped[row.pair, row.task, row.method].append(row.key)
    for (pair, task, method), keys in grouped.items():
        panel = f"{pair} · {task}"
        lists = [cast(list[dict[str, Any]], board.records[key].details.get("selections", [])) for key in keys]
        steps = [tuple(float(item["step"]) for item in selections) for selections in lists]
        if steps[0] and len(set(steps)) == 1:
            scores = [statistics.fmean(item["selection"] for item in at) for at in zip(*lists, strict=True)]
            yield Curve(f"{panel} · selection score", method, steps[0], tuple(scores),
                        x_title="updates", y_title="selection score")  # fmt: skip
        for term, points in _terms(store, keys[0]).items():
            x, y = zip(*points, strict=True)
            yield Curve(f"{panel} · {term} loss", method, x, y, x_title="updates", y_title=f"{term} loss")


def _terms(store: Store, key: str) -> dict[str, list[tuple[float, float]]]:
    """Term -> (update, value), from the training's log if it is there."""
    path = store.cell(key) / LOG_FILE
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            for name in entry.keys() - {"stage", "step", "selection"}:
                if isinstance(entry[name], int | float) and math.isfinite(entry[name]):
                    found[name].append((float(entry["step"]), float(entry[name])))
    return {name: found[name] for name in sorted(found)}
