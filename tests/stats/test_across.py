"""Statistics over tasks: scipy, scikit-posthocs and counting by hand as oracles; coverage."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scikit_posthocs import posthoc_wilcoxon
from scipy.stats import bootstrap, friedmanchisquare, rankdata, wilcoxon

from kdbench.stats.across import (
    friedman,
    interquartile_mean,
    probability_of_improvement,
    signed_rank_p,
    smallest_signed_rank_p,
    stratified_bootstrap_interval,
    wilcoxon_against,
)


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(3, 6), st.sampled_from([3, 1000]))
def test_friedman_equals_scipy(seed: int, blocks: int, models: int, values: int) -> None:
    """Few values, so many ties, and many."""
    scores = np.random.default_rng(seed).integers(0, values, (blocks, models)).astype(float)
    expected = friedmanchisquare(*scores.T)
    if math.isnan(expected.statistic):  # all tied
        assert friedman(scores) == (0, 1)
    else:
        assert friedman(scores) == pytest.approx((expected.statistic, expected.pvalue))


def test_friedman_by_hand() -> None:
    """Three blocks that agree on three models: 12/(3·3·4)·(9 + 36 + 81) - 3·3·4 = 6, p = exp(-3)."""
    assert friedman(np.tile([0.7, 0.8, 0.9], (3, 1))) == pytest.approx((6, math.exp(-3)))


@given(st.lists(st.integers(-6, 6), max_size=9))
def test_signed_rank_counts_all_assignments_of_signs(values: list[int]) -> None:
    """With ties and zeros: the share of assignments that are at least as extreme, twice the smaller tail."""
    known = [value for value in values if value]
    sizes = rankdata(np.abs(known)) if known else np.array([])
    observed = sum(size for size, value in zip(sizes, known, strict=True) if value > 0)
    sums = np.array([np.dot(signs, sizes) for signs in product((0, 1), repeat=len(known))])
    expected = min(1, 2 * min((sums <= observed).mean(), (sums >= observed).mean()))
    assert signed_rank_p(np.array(values) / 7) == pytest.approx(expected)


@given(st.integers(0, 10_000), st.integers(1, 40))
def test_signed_rank_equals_scipy_without_ties(seed: int, blocks: int) -> None:
    differences = np.random.default_rng(seed).normal(0.3, 1, blocks)
    assert signed_rank_p(differences) == pytest.approx(wilcoxon(differences, method="exact").pvalue)


def test_signed_rank_of_many_blocks_stays_finite() -> None:
    differences = np.random.default_rng(0).normal(0.1, 1, 200)
    assert signed_rank_p(differences) == pytest.approx(wilcoxon(differences, method="approx").pvalue, abs=1e-3)


def test_rounding_is_no_difference() -> None:
    assert signed_rank_p(np.array([0.1 + 0.2 - 0.3] * 8)) == 1


def test_models_against_one_equal_scikit_posthocs() -> None:
    """Each against the reference, NaN for itself."""
    scores = np.random.default_rng(4).normal([0, 0.5, 1], 0.5, (12, 3))
    melted = pd.DataFrame(scores).melt(var_name="model", value_name="score")
    expected = posthoc_wilcoxon(melted, val_col="score", group_col="model", method="exact").to_numpy()
    for reference in range(3):
        others = np.arange(3) != reference
        p = wilcoxon_against(scores, reference)
        assert p[others] == pytest.approx(expected[reference, others])
        assert math.isnan(p[reference])


@pytest.mark.parametrize("blocks", range(12))
def test_no_data_goes_below_the_smallest_p(blocks: int) -> None:
    """Reached when all blocks agree: five can never show a difference at 0.05, six can."""
    assert signed_rank_p(np.arange(1.0, blocks + 1)) == pytest.approx(smallest_signed_rank_p(blocks))
    assert (smallest_signed_rank_p(blocks) < 0.05) == (blocks >= 6)


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))
def test_improvement_counts_pairs_of_runs(seed: int, own: int, other: int, tasks: int) -> None:
    """With ties; and what one wins the other loses."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 4, (own, tasks)) / 10, rng.integers(0, 4, (other, tasks)) / 10
    wins = [[(a > b) + (a == b) / 2 for a in x[:, task] for b in y[:, task]] for task in range(tasks)]
    found = probability_of_improvement(x, y)
    assert found == pytest.approx(np.mean(wins))
    assert found == pytest.approx(1 - probability_of_improvement(y, x))


def test_rounding_is_no_improvement() -> None:
    assert probability_of_improvement(np.array([[0.1 + 0.2]]), np.array([[0.3]])) == 0.5


@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(1, 8))
def test_interquartile_mean_drops_a_quarter_on_either_side(seed: int, runs: int, tasks: int) -> None:
    """One matrix, or many at once."""
    scores = np.random.default_rng(seed).normal(size=(3, runs, tasks))
    cut = runs * tasks // 4
    expected = [np.mean(sorted(matrix.ravel())[cut : runs * tasks - cut]) for matrix in scores]
    assert interquartile_mean(scores) == pytest.approx(expected)
    assert float(interquartile_mean(scores[0])) == pytest.approx(expected[0])


def test_interquartile_mean_by_hand() -> None:
    """Of 1 to 8 the middle four; an outlier more or less does not matter."""
    scores = np.arange(1.0, 9).reshape(2, 4)
    assert interquartile_mean(scores) == 4.5
    scores[1, 3] = 1e9
    assert interquartile_mean(scores) == 4.5


def test_interval_is_scipys_stratified_bootstrap_when_there_are_many_runs() -> None:
    """Where the correction for few runs vanishes, its percentiles and Student's quantiles agree."""
    scores = np.random.default_rng(0).normal(np.linspace(0.5, 0.9, 5), 0.1, (60, 5))

    def statistic(*columns: np.ndarray, axis: int) -> np.ndarray:
        return interquartile_mean(np.moveaxis(np.stack(columns, axis=-1), axis - 1 if axis < 0 else axis, -2))

    expected = bootstrap(scores.T, statistic, n_resamples=2000, method="percentile", rng=0).confidence_interval
    found = stratified_bootstrap_interval(interquartile_mean, scores)
    assert found == pytest.approx(tuple(expected), abs=0.002)
    assert 0.02 < found[1] - found[0] < 0.06


def test_interval_of_a_mean_has_a_closed_form() -> None:
    """Unbiased variances within tasks; what tasks differ by does not count."""
    scores = np.random.default_rng(1).normal(np.array([0, 50]), np.array([1, 3]), (4, 2))
    error = math.sqrt((scores.var(0, ddof=1) / 4).sum() / 4)
    low, high = stratified_bootstrap_interval(lambda x: x.mean((-2, -1)), scores, confidence=0.9, resamples=20_000)
    half = 1.943180280515 * error  # Student's quantile of 95 % at 2 · 3 degrees of freedom
    assert (low, high) == pytest.approx((scores.mean() - half, scores.mean() + half), abs=0.03 * half)


def test_one_run_has_no_interval_and_equal_runs_have_no_width() -> None:
    assert all(map(math.isnan, stratified_bootstrap_interval(interquartile_mean, np.ones((1, 4)))))
    assert stratified_bootstrap_interval(interquartile_mean, np.tile([0.5, 0.7], (3, 1))) == pytest.approx((0.6, 0.6))


@pytest.mark.parametrize(("runs", "tasks", "spread"), [(3, 5, 0.2), (5, 8, 0.2), (10, 5, 0.02)])
def test_covers_the_truth_as_often_as_it_says(runs: int, tasks: int, spread: float) -> None:
    """The truth is the mean of the statistic over many samples of that size; three runs are the hardest."""
    rng = np.random.default_rng(0)
    levels = np.linspace(0.5, 0.9, tasks)
    truth = interquartile_mean(rng.normal(levels, spread, (100_000, runs, tasks))).mean()

    def covers() -> bool:
        scores = rng.normal(levels, spread, (runs, tasks))
        low, high = stratified_bootstrap_interval(interquartile_mean, scores, resamples=200)
        return bool(low <= truth <= high)

    assert 0.92 <= np.mean([covers() for _ in range(600)]) <= 0.98
