"""What is computed again, and the outcomes it is computed from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from kdbench.errors import StoreError
from kdbench.record import EXAMPLES_FILE
from kdbench.store import Store

_MOST_ROWS = 20_000_000
"""Parquet packs equal values well: a small file may hold more rows than memory does."""


@dataclass
class Recomputed:
    """What a record should say.

    Attributes:
        metrics, details, cost: by name; what is not here cannot be told from the outcomes.
        untold: metrics that no outcome tells.
        flags: of evaluations whose flags follow from outcomes.
        sample: digest of the examples' ids and labels, in order.
        problems: outcomes that contradict one another, one sentence each.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, int] = field(default_factory=dict)
    untold: tuple[str, ...] = ()
    flags: tuple[str, ...] | None = None
    sample: str = ""
    problems: list[str] = field(default_factory=list)


def read_examples(store: Store, key: str) -> pd.DataFrame:
    """The outcomes of a cell.

    Raises:
        StoreError: they are missing, damaged, or of more rows than any evaluation has.
    """
    path = store.cell(key) / EXAMPLES_FILE
    if not path.is_file():
        raise StoreError(f"{EXAMPLES_FILE} of cell {key[:12]} is missing")
    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows > _MOST_ROWS:
            raise StoreError(f"{EXAMPLES_FILE} has {file.metadata.num_rows:,} rows: no evaluation has")
        table: pd.DataFrame = file.read().to_pandas()
    return table
