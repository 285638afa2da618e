"""Training batches: an order that can be resumed, and little padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdbench.inputs.stream import BatchStream


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
