"""Encoding and batches: nothing lost, nothing added, little padding, and an order that can be resumed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdbench.models.tiny import tiny_tokenizer
from kdbench.tasks.dataset import Examples
from kdbench.training.encoding import WIDTHS, BatchStream, Encoded, encode

TOKENIZER = tiny_tokenizer()
PAD = 99


@st.composite
def ragged(draw: st.DrawFn) -> Encoded:
    """1 to 12 rows of 1 to 9 tokens, with or without segment ids."""
    rows = draw(st.lists(st.lists(st.integers(0, 98), min_size=1, max_size=9), min_size=1, max_size=12))
    flat = np.array([token for row in rows for token in row], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    types = flat % 2 if draw(st.booleans()) else None
    return Encoded(flat, types, starts, np.zeros(len(rows), dtype=np.int64), PAD)


def _row(values: np.ndarray, data: Encoded, row: int, width: int, fill: int) -> list[int]:
    own = [int(v) for v in values[data.starts[row] : data.starts[row + 1]]]
    return own + [fill] * (width - len(own))


@settings(max_examples=60)
@given(ragged(), st.data())
def test_collate_equals_naive_padding(data: Encoded, choice: st.DataObject) -> None:
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
def test_by_length_visits_every_row_once_longest_first(data: Encoded, batch_size: int) -> None:
    """For prediction."""
    batches = list(data.by_length(batch_size))
    order = np.concatenate(batches)
    assert sorted(order.tolist()) == list(range(len(data)))
    assert (np.diff(data.lengths[order]) <= 0).all() and all(len(batch) <= batch_size for batch in batches)


def _examples(texts: list[str], pairs: list[str] | None = None) -> Examples:
    return Examples([str(i) for i in range(len(texts))], texts, pairs, np.zeros(len(texts), dtype=np.int64))


@pytest.mark.parametrize("pairs", [None, ["it is", "a movie it was", ""]])
def test_encoded_rows_are_what_the_tokenizer_makes_of_each(pairs: list[str] | None) -> None:
    """Row by row, with segment ids, cut at the task's length."""
    texts = ["the movie is great", "good", "that was not a terrible film and not a bad one"]
    data = encode(_examples(texts, pairs), TOKENIZER, 10)
    assert data.pad == TOKENIZER.pad_token_id and data.lengths.max() <= 10
    for row, text in enumerate(texts):
        alone = TOKENIZER([text], [pairs[row]] if pairs else None, truncation=True, max_length=10)
        span = slice(data.starts[row], data.starts[row + 1])
        assert data.tokens[span].tolist() == alone["input_ids"][0]
        assert data.types is not None and data.types[span].tolist() == alone["token_type_ids"][0]


def test_rows_are_cut_at_what_the_model_can_read() -> None:
    """A task's max_length of 256 on a model of 128 positions must not index past the position embeddings."""
    data = encode(_examples(["good bad " * 200]), TOKENIZER, 256)
    assert data.lengths.tolist() == [TOKENIZER.model_max_length] == [128]


def _stream(count: int = 1003, batch_size: int = 16, seed: int = 3, **options: Any) -> BatchStream:
    lengths = np.random.default_rng(0).integers(4, 120, count)
    return BatchStream(lengths, batch_size, seed, **options)


@given(st.integers(1, 70), st.integers(1, 9), st.integers(1, 4), st.integers(0, 10**6))
def test_every_epoch_is_a_permutation_of_all_rows(count: int, batch_size: int, pool: int, seed: int) -> None:
    """Every row once, no batch too big, at most one too small."""
    stream = BatchStream(np.arange(count) % 7, batch_size, seed, pool)
    for epoch in (0, 1, 5):
        batches = [stream.batch(epoch * stream.per_epoch + i) for i in range(stream.per_epoch)]
        assert sorted(np.concatenate(batches).tolist()) == list(range(count))
        sizes = sorted(len(batch) for batch in batches)
        assert sizes[-1] <= batch_size and all(size == batch_size for size in sizes[1:])


def test_batches_depend_on_seed_and_step_alone() -> None:
    """Any order of asking gives the same batches: what resuming rests on."""
    forwards, other = _stream(), _stream(seed=4)
    backwards = _stream()
    steps = range(3 * forwards.per_epoch)
    first = {step: forwards.batch(step).tolist() for step in steps}
    assert first == {step: backwards.batch(step).tolist() for step in reversed(steps)}
    assert first[0] != other.batch(0).tolist() and first[0] != first[forwards.per_epoch]


def test_the_global_random_state_is_neither_read_nor_changed() -> None:
    """Shuffling has a generator of its own."""
    np.random.seed(0)
    torch.manual_seed(0)
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    first = _stream().batch(7)
    np.random.seed(1)
    assert (first == _stream().batch(7)).all()
    np.random.seed(0)
    assert (before[0] == np.random.get_state()[1]).all()
    assert torch.equal(before[1], torch.random.get_rng_state())


def _waste(batches: list[np.ndarray], lengths: np.ndarray) -> float:
    """Padding as a share of all positions."""
    area = sum(len(batch) * lengths[batch].max() for batch in batches)
    return float(1 - lengths.sum() / area)


def test_batches_are_homogeneous_in_length() -> None:
    """A tenth of the padding that random batches need."""
    stream = _stream()
    batches = [stream.batch(i) for i in range(stream.per_epoch)]
    order = np.random.default_rng(1).permutation(1003)
    random = [order[i : i + 16] for i in range(0, 1003, 16)]
    assert _waste(batches, stream.lengths) < 0.1 * _waste(random, stream.lengths)


def test_long_and_short_batches_are_mixed_over_the_epoch() -> None:
    """Bucketing must not become a curriculum: a batch's place in the epoch says nothing about its length."""
    stream = _stream(count=4000)
    means = [stream.lengths[stream.batch(i)].mean() for i in range(stream.per_epoch)]
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.25
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.25  # nor does the batch before
