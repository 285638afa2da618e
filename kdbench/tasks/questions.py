"""Questions about contexts, from a table as the hub's SQuAD has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kdbench.errors import DataError
from kdbench.tasks.dataset import SpanExamples, identify, require_columns
from kdbench.tasks.spec import Columns


def to_questions(table: pd.DataFrame, columns: Columns, *, unanswerable: bool, where: str) -> SpanExamples:
    """Turn a table into questions; rows without a question or context are dropped.

    Args:
        columns: the label column holds ``{"text": […], "answer_start": […]}``, empty lists where there is no answer.
        unanswerable: whether questions without an answer are kept, or dropped.
        where: how error messages name the data.

    Raises:
        DataError: a column is missing, its answers are something else, or nothing is left.
    """
    require_columns(table, columns, where)
    table = table[table[columns.inputs].notna().all(axis=1)]
    found = [_answers(value, f"{where}, row {row}") for row, value in enumerate(table[columns.label])]
    keep = np.array([bool(texts) or unanswerable for texts, _ in found], dtype=bool)
    if not keep.any():
        raise DataError(f"{where}: no question with an answer is left")
    kept = table[keep]
    answers = [pair for pair, wanted in zip(found, keep, strict=True) if wanted]
    questions, contexts = ([str(text) for text in kept[column]] for column in (columns.text, columns.text_pair))
    return SpanExamples(
        ids=identify(list(zip(questions, contexts, strict=True))),
        labels=np.array([bool(texts) for texts, _ in answers], dtype=np.int64),
        groups=[str(value) for value in kept[columns.group]] if columns.group else None,
        texts=questions,
        pairs=contexts,
        answers=[texts for texts, _ in answers],
        answer_starts=[starts for _, starts in answers],
    )


def _answers(value: Any, where: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    if isinstance(value, Mapping) and {"text", "answer_start"} <= set(value):
        texts, starts = value["text"], value["answer_start"]
        if _holds(texts, str) and _holds(starts, int | np.integer) and len(texts) == len(starts):
            return tuple(texts), tuple(map(int, starts))
    advice = "set 'columns.label' to the column that holds the answers"
    if isinstance(value, str):
        advice = "a table of plain text (CSV) cannot hold them, JSONL and parquet can; or " + advice
    raise DataError(
        f"{where}: the answers are {str(value)[:60]!r}, not a mapping of 'text' to a list of texts and of "
        f"'answer_start' to as many whole numbers: {advice}"
    )


def _holds(values: Any, kind: Any) -> bool:
    """Whether something is a list of nothing but ``kind``; a string is none."""
    listed = isinstance(values, Sequence | np.ndarray) and not isinstance(values, str)
    return listed and all(isinstance(value, kind) for value in values)
