"""The leaderboard as data: every number with its spread, its seeds, its examples and its status."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

from kdbench.errors import ReportError
from kdbench.manifest import Manifest
from kdbench.record import Record, RunInfo
from kdbench.reports.corruption import corruption_errors
from kdbench.reports.outcome_shares import outcome_shares
from kdbench.rows import TEACHER, Row
from kdbench.stats.intervals import wilson_interval
from kdbench.store import Store

Status = Literal["ok", "missing", "failed"]
MEANS = {
    "accuracy", "accuracy_under_attack", "clean_accuracy", "agreement",
    "accuracy_under_transfer", "accuracy_under_transfer_finetune", "accuracy_under_union",
    "exact_match", "exact_match_under_attack", "clean_exact_match",
    "token_f1", "f1_under_attack", "clean_f1",
    "f1_under_transfer", "f1_under_transfer_finetune", "f1_under_union",
}  # fmt: skip
"""Means over examples of something in [0, 1]. Of a proportion Wilson's interval is right; whatever else has this mean
varies less, so for F1 it is too wide rather than too narrow."""


@dataclass(frozen=True)
class Value:
    """One metric of one method on one set, over seeds.

    Attributes:
        mean: over the seeds that finished; NaN when none did.
        sd: sample standard deviation over seeds; NaN with fewer than two.
        seeds: finished and planned seeds.
        examples: examples of one seed's evaluation, 0 where the metric has none.
        low, high: 95 % Wilson interval of one of ``MEANS`` with one seed; NaN otherwise.
        status: ``ok`` only when every planned seed finished.
        by_seed: the numbers of the seeds that finished, in the order of the seeds.
    """

    mean: float
    sd: float
    seeds: tuple[int, int]
    examples: int
    low: float
    high: float
    status: Status
    by_seed: tuple[float, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a value belongs."""

    pair: str
    task: str
    method: str
    evaluation: str
    dataset: str
    metric: str


@dataclass
class Leaderboard:
    """Everything a report shows, computed from records and nothing else."""

    manifest: Manifest
    values: dict[Place, Value] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    runs: dict[str, RunInfo] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    peak_memory_mb: float = 0.0

    @property
    def pairs(self) -> list[str]:
        """Pairs in the order they were asked for."""
        return list(dict.fromkeys(row.pair for row in self.manifest.rows))

    @property
    def tasks(self) -> list[str]:
        """Tasks in the order they were asked for."""
        return list(dict.fromkeys(row.task for row in self.manifest.rows))

    @property
    def seeds(self) -> list[int]:
        """All student seeds."""
        return sorted({row.seed for row in self.manifest.rows if row.method != TEACHER})

    def methods(self, pair: str) -> list[str]:
        """The teacher, then the methods of a pair in the order they were asked for."""
        return list(dict.fromkeys(row.method for row in self.manifest.rows if row.pair == pair))

    def students(self, pair: str) -> list[str]:
        """The same without the teacher."""
        return [method for method in self.methods(pair) if method != TEACHER]

    def primary(self, task: str) -> str:
        """The metric that stands for a task."""
        return self.manifest.metrics[task][0]

    def ood_metric(self, task: str) -> str:
        """What out-of-domain sets of a task are judged by."""
        kind = self.manifest.kinds[task]
        return {"text-regression": self.primary(task), "question-answering": "token_f1"}.get(kind, "accuracy")

    def attack_metric(self, task: str) -> str:
        """What models of a task keep under attack."""
        return "f1_under_attack" if self._answers(task) else "accuracy_under_attack"

    def axis_metric(self, axis: str, task: str) -> str:
        """What models of a task are judged by on one of :data:`kdbench.reports.axes.AXES`."""
        return {"in_domain": self.primary, "ood": self.ood_metric, "attack": self.attack_metric}[axis](task)

    def clean_metric(self, task: str) -> str:
        """The same of the attacked sample before the attack."""
        return "clean_f1" if self._answers(task) else "clean_accuracy"

    def transfer_metric(self, task: str) -> str:
        """The same of what was found on the teacher."""
        return "f1_under_transfer" if self._answers(task) else "accuracy_under_transfer"

    def union_metric(self, task: str) -> str:
        """The same of what was found on the teacher and on the finetune student, where both versions must be right."""
        return "f1_under_union" if self._answers(task) else "accuracy_under_union"

    def _answers(self, task: str) -> bool:
        return self.manifest.kinds[task] == "question-answering"

    def sets(self, task: str, evaluation: str) -> list[str]:
        """Datasets or attacks of a task under one evaluation, in order."""
        rows = [row for row in self.manifest.rows if row.task == task and row.evaluation == evaluation]
        return list(dict.fromkeys(row.dataset for row in rows))

    def get(self, pair: str, task: str, method: str, evaluation: str, dataset: str, metric: str) -> Value | None:
        """One value; nothing where it was never asked for."""
        return self.values.get(Place(pair, task, method, evaluation, dataset, metric))


def build_leaderboard(store: Store, manifest: Manifest) -> Leaderboard:
    """Read the records a manifest names.

    Raises:
        ReportError: not a single cell has finished.
    """
    board = Leaderboard(manifest)
    grouped: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in manifest.rows:
        _load(board, store, row)
        if row.evaluation:
            grouped[row.pair, row.task, row.method, row.evaluation, row.dataset].append(row)
    if not board.records:
        raise ReportError(f"{store.root}: no cell of suite {manifest.suite} has finished yet")
    for (pair, task, method, evaluation, dataset), unordered in grouped.items():
        rows = sorted(unordered, key=lambda row: row.seed)
        measured = {metric: _values(board, rows, metric) for metric in _metrics(board, evaluation, task, dataset)}
        if evaluation == "corruption":
            measured |= corruption_errors(manifest, board.records, rows)
        if evaluation == "attack":
            measured |= outcome_shares(store, board.records, rows)
        for metric, values in measured.items():
            place = Place(pair, task, method, evaluation, dataset, metric)
            board.values[place] = _summarise(board, store, rows, metric, values)
    return board


def _load(board: Leaderboard, store: Store, row: Row) -> None:
    if row.key in board.records:
        return
    record = store.record(row.key, whole=False)
    if record is None:
        failure = store.failure(row.key)
        if failure:
            board.failures.append(f"{row.describe()}: {failure.message.splitlines()[0]}")
        return
    board.records[row.key] = record
    info = store.run_info(row.key)
    if info:
        board.runs[row.key] = info
        board.peak_memory_mb = max(board.peak_memory_mb, info.peak_memory_mb)


_HEADLINES = {
    "corruption": "corruption_accuracy",
    "fidelity": "agreement",
    "calibration": "ece",
    "efficiency": "parameters",
    "quality": "similarity",
}


def _metrics(board: Leaderboard, evaluation: str, task: str, dataset: str) -> list[str]:
    """What an evaluation measures, as far as any finished cell of it tells.

    Its headline is named also when none has finished: what is missing must be seen to be missing.
    """
    headlines = {
        **_HEADLINES,
        "ood": board.ood_metric(task),
        "attack": board.attack_metric(task),
        "transfer": board.transfer_metric(task),
    }
    found = {} if evaluation == "trajectory" else {headlines.get(evaluation, board.primary(task)): None}
    for row in board.manifest.rows:
        if (row.evaluation, row.task, row.dataset) == (evaluation, task, dataset) and row.key in board.records:
            found.update(dict.fromkeys(board.records[row.key].metrics))
    return list(found)


def _values(board: Leaderboard, rows: list[Row], metric: str) -> list[float | None]:
    records = [board.records.get(row.key) for row in rows]
    return [record.metrics.get(metric) if record else None for record in records]


def _summarise(board: Leaderboard, store: Store, rows: list[Row], metric: str, values: list[float | None]) -> Value:
    known = [value for value in values if value is not None]
    examples = max((_examples(board.records[row.key]) for row in rows if row.key in board.records), default=0)
    mean = statistics.fmean(known) if known else math.nan
    sd = statistics.stdev(known) if len(known) > 1 else math.nan
    low = high = math.nan
    if len(known) == 1 and examples and metric in MEANS:
        low, high = wilson_interval(known[0] * examples, examples)
    status: Status = "ok"
    if len(known) < len(values):
        lost = [row for row, value in zip(rows, values, strict=True) if value is None]
        status = "failed" if any(_failed(store, row, board) for row in lost) else "missing"
    return Value(mean, sd, (len(known), len(values)), examples, low, high, status, tuple(known))


def _examples(record: Record) -> int:
    count = record.details.get("examples", 0)
    return count if isinstance(count, int) else 0


def _failed(store: Store, row: Row, board: Leaderboard) -> bool:
    """Whether a cell, or the training it is built on, failed."""
    training = next((r.key for r in board.manifest.rows if not r.evaluation and r.place[:4] == row.place[:4]), row.key)
    return store.failure(row.key) is not None or store.failure(training) is not None
