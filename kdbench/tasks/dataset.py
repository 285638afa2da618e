"""A task's rows, in the task's own vocabulary, and the split the trainer may select on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, TypeVar

import numpy as np
import pandas as pd

from kdbench.errors import DataError
from kdbench.hashing import unit_hash
from kdbench.tasks.pixels import decode_images, raw_image
from kdbench.tasks.spec import Columns, ImageFormat, RawLabel

ExamplesT = TypeVar("ExamplesT", bound="Examples")


@dataclass(frozen=True)
class Examples:
    """Rows of one split, whatever they hold.

    Attributes:
        ids: one string a row, from the content: equal rows get a running number.
        labels: ``(n,)``, int64 class indices or float32 scores.
        groups: values of the group column, or nothing.
    """

    ids: list[str]
    labels: np.ndarray
    groups: list[str] | None

    def __len__(self) -> int:
        return len(self.ids)

    def contents(self) -> list[tuple[str, ...]]:
        """What each row is told by: equal rows have equal contents."""
        raise NotImplementedError

    def origins(self) -> list[tuple[str, ...]]:
        """What each row was made from: rows of one origin are too much alike to be on both sides of a split."""
        return self.contents()

    def take(self, indices: Sequence[int] | np.ndarray) -> Self:
        """The rows at ``indices``, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: _take(column, chosen) for name, column in columns.items()})

    def sample(self, limit: int | None, salt: str) -> Self:
        """At most ``limit`` rows, chosen by a hash of their content, in their original order."""
        if limit is None or len(self) <= limit:
            return self
        coins = np.array([unit_hash(salt, [identity]) for identity in self.ids])
        return self.take(np.sort(np.argsort(coins, kind="stable")[:limit]))


@dataclass(frozen=True)
class TextExamples(Examples):
    """Texts, alone or in pairs.

    Attributes:
        texts: first texts.
        pairs: second texts, or nothing for single-text tasks.
    """

    texts: list[str]
    pairs: list[str] | None

    def contents(self) -> list[tuple[str, ...]]:
        """The texts themselves."""
        return list(zip(self.texts, self.pairs or [""] * len(self), strict=True))


@dataclass(frozen=True)
class SpanExamples(TextExamples):
    """Questions (``texts``) about contexts (``pairs``), with spans of the contexts as answers.

    ``labels`` is 1 where a question has an answer, else 0.

    Attributes:
        answers: the reference answers of each question, each the text of a span; none when it is unanswerable.
        answer_starts: where in the context each of them starts, in characters.
    """

    answers: list[tuple[str, ...]]
    answer_starts: list[tuple[int, ...]]

    def origins(self) -> list[tuple[str, ...]]:
        """The contexts: people ask several questions about each."""
        return [(context,) for context in self.pairs or []]


@dataclass(frozen=True)
class ImageExamples(Examples):
    """Images, decoded when a model is to read them.

    Attributes:
        images: encoded files, or pixel values as the source had them.
    """

    images: list[bytes | np.ndarray]

    def contents(self) -> list[tuple[str, ...]]:
        """A digest of each image's bytes."""
        return [_image_content(image) for image in self.images]

    def pixels(self, form: ImageFormat) -> np.ndarray:
        """All images, ``(n, size, size, channels)`` uint8."""
        return decode_images(self.images, form)


def to_examples(
    table: pd.DataFrame,
    columns: Columns,
    labels: Sequence[str],
    label_map: dict[RawLabel, str],
    where: str,
) -> TextExamples | ImageExamples:
    """Turn a table into examples: pick columns, translate labels, drop rows that lack an input or a label.

    Args:
        labels: class names in the order of their indices; empty for regression.
        label_map: raw label -> class name; without one, raw labels are class names or indices.
        where: how error messages name the data.

    Raises:
        DataError: a column is missing, a label is unknown, or nothing is left.
    """
    require_columns(table, columns, where)
    table = table[table[columns.inputs].notna().all(axis=1)]
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
    groups = [str(value) for value in kept[columns.group]] if columns.group else None
    if columns.image is not None:
        images = [raw_image(value, where) for value in kept[columns.image]]
        return ImageExamples(identify([_image_content(image) for image in images]), values, groups, images)
    texts = [str(text) for text in kept[columns.text]]
    pairs = [str(text) for text in kept[columns.text_pair]] if columns.text_pair else None
    ids = identify(list(zip(texts, pairs or [""] * len(texts), strict=True)))
    return TextExamples(ids, values, groups, texts, pairs)


def require_columns(table: pd.DataFrame, columns: Columns, where: str) -> None:
    """Refuse a table that lacks a column.

    Raises:
        DataError: naming what it lacks and what it has.
    """
    wanted = [*columns.inputs, columns.label, *([columns.group] if columns.group else [])]
    lacking = [column for column in wanted if column not in table.columns]
    if lacking:
        has = ", ".join(map(str, table.columns))
        raise DataError(f"{where}: has no column {', '.join(lacking)}; it has {has}: set 'columns' of the task")


def carve_selection(examples: ExamplesT, fraction: float, limit: int) -> tuple[ExamplesT, ExamplesT]:
    """Split into (train, selection) by a hash of where each row is from; rows of one origin stay on one side.

    Raises:
        DataError: when one side would be empty.
    """
    coins = [unit_hash("selection", origin) for origin in examples.origins()]
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


def identify(contents: list[tuple[str, ...]]) -> list[str]:
    """One id for each content; equal ones get a running number."""
    seen: dict[str, int] = {}
    ids = []
    for content in contents:
        base = f"{int(unit_hash('id', content) * 2**53):014x}"
        count = seen.get(base, 0)
        seen[base] = count + 1
        ids.append(base if not count else f"{base}-{count}")
    return ids


def _take(column: Any, indices: np.ndarray) -> Any:
    if column is None or isinstance(column, np.ndarray):
        return None if column is None else column[indices]
    return [column[i] for i in indices]


def _image_content(image: bytes | np.ndarray) -> tuple[str, ...]:
    data = image if isinstance(image, bytes) else image.tobytes()
    return (hashlib.sha256(data).hexdigest(),)
