"""How attacks ended, counted over all sampled examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import pandas as pd

from kdbench.attacks.outcomes import Result
from kdbench.record import EXAMPLES_FILE, Record
from kdbench.rows import Row
from kdbench.store import Store

OUTCOMES: tuple[str, ...] = get_args(Result)


def outcome_shares(store: Store, records: Mapping[str, Record], rows: Sequence[Row]) -> dict[str, list[float | None]]:
    """The share of each outcome by its name; nothing for a row whose outcomes are not there, nor where none has them.

    Args:
        store: where the cells are.
        records: the finished cells, by key.
        rows: ``attack`` rows of one method on one set.
    """
    shares = [_shares(store, records.get(row.key)) for row in rows]
    if not any(shares):
        return {}
    return {name: [found.get(name, 0.0) if found else None for found in shares] for name in OUTCOMES}


def _shares(store: Store, record: Record | None) -> dict[str, float] | None:
    if record is None or EXAMPLES_FILE not in record.files:
        return None
    outcomes = pd.read_parquet(store.cell(record.key) / EXAMPLES_FILE, columns=["outcome"])["outcome"]
    return {str(name): float(share) for name, share in outcomes.value_counts(normalize=True).items()}
