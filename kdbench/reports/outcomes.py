"""Per-example outcomes of a method on one set, all seeds together: what every statistic is computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kdbench.attacks.outcomes import HELD
from kdbench.record import EXAMPLES_FILE
from kdbench.reports.table import Leaderboard
from kdbench.rows import Row
from kdbench.stats.sufficient import outcome_column
from kdbench.store import Store


@dataclass(frozen=True)
class Outcomes:
    """What a method's students predicted, one row per seed.

    Attributes:
        seeds: of the rows.
        ids: of the examples.
        predictions: ``(seeds, n)``; under attack how much of each example is kept, 1 for still right.
        labels: ``(n,)``.
    """

    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    predictions: np.ndarray
    labels: np.ndarray

    def paired_with(self, other: Outcomes) -> bool:
        """Whether both are of the same seeds on the same examples with the same labels."""
        same = (self.seeds, self.ids) == (other.seeds, other.ids)
        return same and bool(np.array_equal(self.labels, other.labels))


class OutcomeReader:
    """Reads outcomes of a leaderboard's cells, each file once."""

    def __init__(self, store: Store, board: Leaderboard) -> None:
        self._store = store
        self._board = board
        self._known: dict[tuple[str, ...], Outcomes | None] = {}
        self._rows: dict[tuple[str, ...], list[Row]] = {}
        for row in sorted(board.manifest.rows, key=lambda row: row.seed):
            place = (row.pair, row.task, row.method, row.evaluation, row.dataset)
            self._rows.setdefault(place, []).append(row)

    def rows(self, pair: str, task: str, method: str, evaluation: str, dataset: str) -> list[Row]:
        """Planned rows of one set in the order of their seeds."""
        return self._rows.get((pair, task, method, evaluation, dataset), [])

    def read(self, pair: str, task: str, method: str, evaluation: str, dataset: str, metric: str) -> Outcomes | None:
        """Outcomes of all seeds; nothing unless all are there, on the same examples.

        Args:
            pair, task, method, evaluation, dataset: the place in the tables.
            metric: what is to be computed from them, which tells the column that is read.
        """
        place = (pair, task, method, evaluation, dataset, metric)
        if place not in self._known:
            self._known[place] = self._read(self.rows(*place[:5]), evaluation, metric)
        return self._known[place]

    def _read(self, rows: list[Row], evaluation: str, metric: str) -> Outcomes | None:
        records = [self._board.records.get(row.key) for row in rows]
        if not rows or not all(record and EXAMPLES_FILE in record.files for record in records):
            return None
        tables = [self._table(row.key, evaluation, metric) for row in rows]
        first = tables[0]
        if any(not table[["id", "label"]].equals(first[["id", "label"]]) for table in tables):
            return None
        predictions = np.stack([table["prediction"].to_numpy() for table in tables])
        return Outcomes(
            tuple(row.seed for row in rows), tuple(map(str, first["id"])), predictions, first["label"].to_numpy()
        )

    def _table(self, key: str, evaluation: str, metric: str) -> pd.DataFrame:
        """Columns ``id``, ``label`` and ``prediction`` of a cell."""
        path = self._store.cell(key) / EXAMPLES_FILE
        if evaluation != "attack":
            column = outcome_column(metric)
            return pd.read_parquet(path, columns=["id", "label", column]).rename(columns={column: "prediction"})
        if metric == "f1_under_attack":
            return pd.read_parquet(path, columns=["id", "f1"]).rename(columns={"f1": "prediction"}).assign(label=1)
        table = pd.read_parquet(path, columns=["id", "outcome"])
        return pd.DataFrame({"id": table["id"], "label": 1, "prediction": table["outcome"].isin(HELD).astype(float)})
