"""Ranks, rank ranges and rank intervals: by hand, by brute force and as laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdbench.stats.ranks import inseparable_from_best, mean_rank, rank_intervals, rank_ranges, ranks, separable


def pairs(models: int, **p: float) -> np.ndarray:
    """A matrix of p-values that is 1 but for the named pairs: ``p01=0.001``."""
    found = np.ones((models, models))
    for name, value in p.items():
        i, j = map(int, name[1:])
        found[i, j] = found[j, i] = value
    return found


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_ranks_count_who_is_better_and_share_ties(scores: list[int]) -> None:
    expected = [1 + sum(o > s for o in scores) + (scores.count(s) - 1) / 2 for s in scores]
    assert ranks(np.array(scores, dtype=float)).tolist() == expected


def test_rounding_does_not_break_ties() -> None:
    """0.1 + 0.2 is not 0.3 to the last bit."""
    assert ranks(np.array([0.1 + 0.2, 0.3, 0.9])).tolist() == [2.5, 2.5, 1]


def test_mean_rank_is_over_blocks() -> None:
    """First, second, third; then third, and a tie for first."""
    assert mean_rank(np.array([[0.9, 0.8, 0.7], [0.1, 0.5, 0.5]])).tolist() == [2, 1.75, 2.25]


def test_a_range_holds_every_rank_that_is_not_ruled_out() -> None:
    """0 and 1 are not told apart, both are better than 3; 2 is told apart from nobody."""
    scores = np.array([0.9, 0.88, 0.8, 0.7])
    p = pairs(4, p03=0.001, p13=0.002)
    assert rank_ranges(scores, p) == [(1, 3), (1, 3), (1, 4), (3, 4)]
    assert inseparable_from_best(scores, p).tolist() == [True, True, True, False]


def test_all_apart_and_none() -> None:
    scores = np.array([0.7, 0.9, 0.8])
    assert rank_ranges(scores, np.zeros((3, 3))) == [(3, 3), (1, 1), (2, 2)]
    assert rank_ranges(scores, np.ones((3, 3))) == [(1, 3)] * 3
    assert inseparable_from_best(scores, np.zeros((3, 3))).tolist() == [False, True, False]
    assert rank_ranges(scores[:1], np.ones((1, 1))) == [(1, 1)]


def test_pairs_are_corrected_for_their_number() -> None:
    """0.01 is one of six pairs of four models: 0.06. Of two models it stands."""
    assert not separable(pairs(4, p01=0.01)).any()
    assert separable(pairs(4, p01=0.01), level=0.07)[0, 1]
    assert separable(pairs(2, p01=0.01)).tolist() == [[False, True], [True, False]]


@given(st.integers(0, 1000), st.integers(2, 7))
def test_a_range_holds_the_rank_and_better_models_have_better_ranges(seed: int, models: int) -> None:
    """And permuting models permutes ranges."""
    rng = np.random.default_rng(seed)
    scores, p = rng.random(models), rng.random((models, models)) ** 6
    p = np.minimum(p, p.T)
    ranges = rank_ranges(scores, p)
    for (low, high), rank in zip(ranges, ranks(scores), strict=True):
        assert 1 <= low <= rank <= high <= models
    order = rng.permutation(models)
    assert rank_ranges(scores[order], p[np.ix_(order, order)]) == [ranges[i] for i in order]
    tied = inseparable_from_best(scores, p)
    assert tied[np.argmax(scores)] and all(tied == [low == 1 or not separable(p)[np.argmax(scores), i]
                                                    for i, (low, _) in enumerate(ranges)])  # fmt: skip


def test_intervals_are_percentiles_of_ranks() -> None:
    """The first of two wins 3 % of the replicates, which 95 % notice and 90 % do not; mean ranks are over blocks."""
    wins = np.arange(1000) < 30
    draws = np.stack([wins, ~wins], axis=1).astype(float)
    assert rank_intervals(draws).tolist() == [[1, 2], [1, 2]]
    assert rank_intervals(draws, 0.9).tolist() == [[2, 2], [1, 1]]
    blocks = np.stack([draws, draws, np.tile([0.0, 1.0], (1000, 1))], axis=1)
    assert rank_intervals(blocks) == pytest.approx(np.array([[4 / 3, 2], [1, 5 / 3]]))
