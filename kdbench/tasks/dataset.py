"""A task's rows, in the task's own vocabulary, and the split the trainer may select on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kdbench.errors import DataError
from kdbench.hashing import unit_hash
from kdbench.tasks.spec import Columns, RawLabel


@dataclass(frozen=True)
class Examples:
    """Rows of one split.

    Attributes:
        ids: one string a row, from the content: equal rows get a running number.
        texts: first texts.
        pairs: second texts, or nothing for single-text tasks.
        labels: ``(n,)``, int64 class indices or float32 scores.
        groups: values of the group column, or nothing.
    """

    ids: list[str]
    texts: list[str]
    pairs: list[str] | None
    labels: np.ndarray
    groups: list[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Sequence[int] | np.ndarray) -> Examples:
        """The rows at ``indices``, in that order."""
        return Examples(
            [self.ids[i] for i in indices],
            [self.texts[i] for i in indices],
            None if self.pairs is None else [self.pairs[i] for i in indices],
            self.labels[np.asarray(indices, dtype=np.int64)],
            None if self.groups is None else [self.groups[i] for i in indices],
        )

    def sample(self, limit: int | None, salt: str) -> Examples:
        """At most ``limit`` rows, chosen by a hash of their content, in their original order."""
        if limit is None or len(self) <= limit:
            return self
        coins = np.array([unit_hash(salt, [identity]) for identity in self.ids])
        return self.take(np.sort(np.argsort(coins, kind="stable")[:limit]))


def to_examples(
    table: pd.DataFrame,
    columns: Columns,
    labels: Sequence[str],
    label_map: dict[RawLabel, str],
    where: str,
) -> Examples:
    """Turn a table into examples: pick columns, translate labels, drop rows that lack a text or a label.

    Args:
        labels: class names in the order of their indices; empty for regression.
        label_map: raw label -> class name; without one, raw labels are class names or indices.
        where: how error messages name the data.

    Raises:
        DataError: a column is missing, a label is unknown, or nothing is left.
    """
    wanted = [c for c in (columns.text, columns.text_pair, columns.label, columns.group) if c]
    lacking = [column for column in wanted if column not in table.columns]
    if lacking:
        has = ", ".join(map(str, table.columns))
        raise DataError(f"{where}: has no column {', '.join(lacking)}; it has {has}: set 'columns' of the task")
    table = table[table[[c for c in (columns.text, columns.text_pair) if c]].notna().all(axis=1)]
    if labels:
        translated = [_translate(raw, labels, label_map, where) for raw in table[columns.label]]
        keep = np.array([index >= 0 for index in translated], dtype=bool)
        values = np.array(translated, dtype=np.int64)[keep]
    else:
        scores = pd.to_numeric(table[columns.label], errors="coerce").to_numpy(dtype=np.float32)
        keep = np.isfinite(scores)
        values = scores[keep]
    if not keep.any():
        raise DataError(f"{where}: no row is left after mapping labels; look at 'label_map'")
    kept = table[keep]
    texts = [str(text) for text in kept[columns.text]]
    pairs = [str(text) for text in kept[columns.text_pair]] if columns.text_pair else None
    groups = [str(value) for value in kept[columns.group]] if columns.group else None
    return Examples(_identify(texts, pairs), texts, pairs, values, groups)


def carve_selection(examples: Examples, fraction: float, limit: int) -> tuple[Examples, Examples]:
    """Split into (train, selection) by content hash; equal texts stay on one side.

    Raises:
        DataError: when one side would be empty.
    """
    second = examples.pairs or [""] * len(examples)
    coins = [unit_hash("selection", pair) for pair in zip(examples.texts, second, strict=True)]
    chosen = np.array([coin < fraction for coin in coins], dtype=bool)
    if chosen.all() or not chosen.any():
        raise DataError(f"{len(examples)} training examples are too few to carve a selection split out of")
    train, selection = examples.take(np.flatnonzero(~chosen)), examples.take(np.flatnonzero(chosen))
    return train, selection.sample(limit, "selection-limit")


def _translate(raw: Any, labels: Sequence[str], label_map: dict[RawLabel, str], where: str) -> int:
    value: Any = raw.item() if hasattr(raw, "item") else raw
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if label_map:
        name = {str(known): name for known, name in label_map.items()}.get(str(value))
        return labels.index(name) if name is not None else -1
    if value in labels:
        return labels.index(str(value))
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(labels):
        return value
    known = ", ".join(labels)
    raise DataError(f"{where}: label {value!r} is neither a class ({known}) nor its index: set 'label_map'")


def _identify(texts: list[str], pairs: list[str] | None) -> list[str]:
    seen: dict[str, int] = {}
    ids = []
    for text, pair in zip(texts, pairs or [""] * len(texts), strict=True):
        base = f"{int(unit_hash('id', [text, pair]) * 2**53):014x}"
        count = seen.get(base, 0)
        seen[base] = count + 1
        ids.append(base if not count else f"{base}-{count}")
    return ids
