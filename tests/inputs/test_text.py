"""Texts: nothing lost, nothing added, padded to the longest of the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdbench.inputs.text import WIDTHS, EncodedTexts, TextReader
from kdbench.models.tiny import tiny_tokenizer
from kdbench.tasks.dataset import TextExamples

TOKENIZER = tiny_tokenizer()
PAD = 99


@st.composite
def ragged(draw: st.DrawFn) -> EncodedTexts:
    """1 to 12 rows of 1 to 9 tokens, with or without segment ids."""
    rows = draw(st.lists(st.lists(st.integers(0, 98), min_size=1, max_size=9), min_size=1, max_size=12))
    flat = np.array([token for row in rows for token in row], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    types = flat % 2 if draw(st.booleans()) else None
    return EncodedTexts(flat, types, starts, np.zeros(len(rows), dtype=np.int64), PAD)


def _row(values: np.ndarray, data: EncodedTexts, row: int, width: int, fill: int) -> list[int]:
    own = [int(v) for v in values[data.starts[row] : data.starts[row + 1]]]
    return own + [fill] * (width - len(own))


@settings(max_examples=60)
@given(ragged(), st.data())
def test_collate_equals_naive_padding(data: EncodedTexts, choice: st.DataObject) -> None:
    """Any rows in any order, also repeated, to the next multiple of four: ids, attention mask, segment ids."""
    rows = choice.draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=8))
    longest = max(int(data.lengths[row]) for row in rows)
    width = next(width for width in range(longest, longest + WIDTHS) if width % WIDTHS == 0)
    inputs = data.collate(np.array(rows))
    assert inputs["input_ids"].tolist() == [_row(data.tokens, data, row, width, PAD) for row in rows]
    ones = np.ones_like(data.tokens)
    assert inputs["attention_mask"].tolist() == [_row(ones, data, row, width, 0) for row in rows]
    assert ("token_type_ids" in inputs) == (data.types is not None)
    if data.types is not None:
        assert inputs["token_type_ids"].tolist() == [_row(data.types, data, row, width, 0) for row in rows]
    assert {value.dtype for value in inputs.values()} == {torch.int64}


@given(ragged(), st.integers(1, 5))
def test_by_length_visits_every_row_once_longest_first(data: EncodedTexts, batch_size: int) -> None:
    """For prediction."""
    batches = list(data.by_length(batch_size))
    order = np.concatenate(batches)
    assert sorted(order.tolist()) == list(range(len(data)))
    assert (np.diff(data.lengths[order]) <= 0).all() and all(len(batch) <= batch_size for batch in batches)


def _examples(texts: list[str], pairs: list[str] | None = None) -> TextExamples:
    labels = np.zeros(len(texts), dtype=np.int64)
    return TextExamples([str(i) for i in range(len(texts))], labels, None, texts, pairs)


@pytest.mark.parametrize("pairs", [None, ["it is", "a movie it was", ""]])
def test_encoded_rows_are_what_the_tokenizer_makes_of_each(pairs: list[str] | None) -> None:
    """Row by row, with segment ids, cut at the task's length."""
    texts = ["the movie is great", "good", "that was not a terrible film and not a bad one"]
    data = TextReader(TOKENIZER, 10).encode(_examples(texts, pairs))
    assert data.pad == TOKENIZER.pad_token_id and data.lengths.max() <= 10
    for row, text in enumerate(texts):
        alone = TOKENIZER([text], [pairs[row]] if pairs else None, truncation=True, max_length=10)
        span = slice(data.starts[row], data.starts[row + 1])
        assert data.tokens[span].tolist() == alone["input_ids"][0]
        assert data.types is not None and data.types[span].tolist() == alone["token_type_ids"][0]


def test_rows_are_cut_at_what_the_model_can_read() -> None:
    """A task's max_length of 256 on a model of 128 positions must not index past the position embeddings."""
    data = TextReader(TOKENIZER, 256).encode(_examples(["good bad " * 200]))
    assert data.lengths.tolist() == [TOKENIZER.model_max_length] == [128]
