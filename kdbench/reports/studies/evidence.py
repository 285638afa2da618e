"""What studies read: scores, costs and per-example outcomes, each whole or not there."""

from __future__ import annotations

import math
import statistics
from typing import Any, cast

from kdbench.record import Record
from kdbench.reports.difference import Difference, compare
from kdbench.reports.outcomes import OutcomeReader, Outcomes
from kdbench.reports.table import Leaderboard, Value
from kdbench.rows import TEACHER, Row
from kdbench.store import Store


class Evidence:
    """A leaderboard and the store behind it, asked by pair, task and method."""

    def __init__(self, store: Store, board: Leaderboard) -> None:
        self.store = store
        self.board = board
        self._reader = OutcomeReader(store, board)

    def rows(self, pair: str, task: str, method: str, evaluation: str = "") -> list[Row]:
        """Planned rows in the order of their seeds; trainings unless an evaluation is named."""
        wanted = (pair, task, method, evaluation)
        found = [r for r in self.board.manifest.rows if (r.pair, r.task, r.method, r.evaluation) == wanted]
        return sorted(found, key=lambda row: row.seed)

    def methods(self, pair: str, task: str) -> list[str]:
        """What students a pair was asked for on a task, in order."""
        rows = self.board.manifest.rows
        names = dict.fromkeys(row.method for row in rows if (row.pair, row.task) == (pair, task))
        return [name for name in names if name != TEACHER]

    def score(self, pair: str, task: str, method: str) -> Value | None:
        """The task's primary metric on the reported split; nothing where it was never asked for."""
        return self.board.get(pair, task, method, "in_domain", task, self.board.primary(task))

    def scores(self, pair: str, task: str, method: str) -> dict[int, float | None]:
        """The same by seed."""
        metric = self.board.primary(task)
        return {row.seed: self._metrics(row).get(metric) for row in self.rows(pair, task, method, "in_domain")}

    def selections(self, pair: str, task: str, method: str) -> dict[int, float | None]:
        """The student's score on the selection split by seed, in the task's selection metric."""
        return {
            row.seed: next((v for name, v in self._metrics(row).items() if name.startswith("selection_")), None)
            for row in self.rows(pair, task, method)
        }

    def selection(self, pair: str, task: str, method: str) -> float:
        """Their mean; NaN unless all are there."""
        return _mean(list(self.selections(pair, task, method).values()))

    def cost(self, pair: str, task: str, method: str, what: str) -> float:
        """Work of one training by the name in its records, mean over seeds; NaN unless all finished."""
        records = [self.board.records.get(row.key) for row in self.rows(pair, task, method)]
        return _mean([record.cost.get(what, 0) if record else None for record in records])

    def record(self, pair: str, task: str, method: str, evaluation: str) -> Record | None:
        """The record of the first seed of an evaluation, if that finished."""
        rows = self.rows(pair, task, method, evaluation)
        return self.board.records.get(rows[0].key) if rows else None

    def part_config(self, task: str, method: str, part: str) -> dict[str, Any] | None:
        """Settings of a method that consists of that one part."""
        parts = self.board.manifest.methods[method].parts.get(self.board.manifest.kinds[task], [])
        return cast(dict[str, Any], parts[0]["config"]) if [p["name"] for p in parts] == [part] else None

    def compare(
        self, task: str, first: tuple[str, str], second: tuple[str, str], choices: int = 1
    ) -> Difference | None:
        """Two (pair, method) by their per-example outcomes; nothing unless both are whole and paired."""
        outcomes = [self.outcomes(pair, task, method) for pair, method in (first, second)]
        if outcomes[0] is None or outcomes[1] is None:
            return None
        return compare(outcomes[0], outcomes[1], self.board.primary(task), choices)

    def outcomes(self, pair: str, task: str, method: str) -> Outcomes | None:
        """Predictions of all seeds on the reported split; nothing unless all are there, on the same examples."""
        return self._reader.read(pair, task, method, "in_domain", task, self.board.primary(task))

    def _metrics(self, row: Row) -> dict[str, float]:
        record = self.board.records.get(row.key)
        return record.metrics if record else {}


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else math.nan
