"""Paired comparisons against scipy, closed forms and a bootstrap by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from kdbench.stats.paired import crossed_bootstrap, mcnemar_exact, percentile_interval
from kdbench.stats.sufficient import metric_of_means, metric_terms

DIFFERENCE = (1, -1)


def accuracy(means: np.ndarray) -> np.ndarray:
    return metric_of_means("accuracy", means)


def outcomes(only_first: int, only_second: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([True, False, True], [only_first, only_second, both])
    second = np.repeat([False, True, True], [only_first, only_second, both])
    return first, second


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 20))
def test_mcnemar_is_a_binomial_test_of_the_discordant(b: int, c: int, both: int) -> None:
    """As scipy computes it; 1 when the models never differ; symmetric."""
    first, second = outcomes(b, c, both)
    p = mcnemar_exact(first, second)
    assert p == pytest.approx(binomtest(b, b + c, 0.5).pvalue if b + c else 1.0)
    assert p == mcnemar_exact(second, first)


def test_mcnemar_by_hand() -> None:
    """One against nine: 2·(1 + 10)/1024."""
    assert mcnemar_exact(*outcomes(1, 9, 50)) == pytest.approx(22 / 1024)


def test_one_seed_has_the_closed_form_of_a_mean() -> None:
    """Bootstrap variance of a mean difference is its population variance over n."""
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 1, 400, 1)) < np.array([0.8, 0.7]).reshape(2, 1, 1, 1)
    draws = crossed_bootstrap(np.stack([first, second]).astype(float), DIFFERENCE, accuracy, resamples=20_000)
    difference = (first.astype(float) - second)[0, :, 0]
    assert draws.mean() == pytest.approx(difference.mean(), abs=0.001)
    assert draws.std() == pytest.approx(difference.std() / 20, rel=0.02)
    low, high = percentile_interval(draws)
    z = norm.ppf(0.975)
    assert (low, high) == pytest.approx(difference.mean() + np.array([-z, z]) * difference.std() / 20, abs=0.005)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "matthews", "pearson"])
def test_resamples_as_brute_force_does(metric: str) -> None:
    """Drawing seeds and examples one by one gives the same distribution."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 50)
    flips = rng.random((2, 3, 50)) < np.array([0.15, 0.35]).reshape(2, 1, 1)
    predictions = np.where(flips, 1 - labels, labels)
    terms = metric_terms(metric, predictions, labels)
    draws = crossed_bootstrap(terms, DIFFERENCE, lambda m: metric_of_means(metric, m), resamples=4000)
    brute = []
    for _ in range(4000):
        seeds, rows = rng.integers(0, 3, 3), rng.integers(0, 50, 50)
        values = metric_of_means(metric, terms[:, seeds][:, :, rows].mean(2)).mean(1)
        brute.append(values[0] - values[1])
    assert draws.mean() == pytest.approx(np.mean(brute), abs=0.01)
    assert np.quantile(draws, [0.025, 0.25, 0.75, 0.975]) == pytest.approx(
        np.quantile(brute, [0.025, 0.25, 0.75, 0.975]), abs=0.025
    )


def test_seeds_that_disagree_widen_the_interval() -> None:
    """The same examples' outcomes in all seeds, or each seed its own level: the second is less certain."""
    rng = np.random.default_rng(5)
    same = np.repeat(rng.random((1, 500)) < 0.8, 3, axis=0)[..., None].astype(float)
    apart = np.stack([rng.random(500) < level for level in (0.7, 0.8, 0.9)])[..., None].astype(float)
    spreads = [crossed_bootstrap(terms[None], [1], accuracy).std() for terms in (apart, same)]
    assert spreads[0] > 2 * spreads[1]


def test_is_deterministic_and_knows_equal_models() -> None:
    """The same numbers every time; identical models differ by exactly nothing."""
    terms = np.random.default_rng(0).integers(0, 2, (2, 2, 40, 1)).astype(float)
    draws = crossed_bootstrap(terms, DIFFERENCE, accuracy)
    assert draws.any() and np.array_equal(draws, crossed_bootstrap(terms, DIFFERENCE, accuracy))
    assert not crossed_bootstrap(terms[[0, 0]], DIFFERENCE, accuracy).any()


def test_a_contrast_of_three_models() -> None:
    """Its mean is the contrast of their scores, and scaling it scales the draws."""
    terms = np.random.default_rng(1).integers(0, 2, (3, 2, 200, 1)).astype(float)
    weights = np.array([-1.0, 0.25, 0.75])
    draws = crossed_bootstrap(terms, weights.tolist(), accuracy)
    assert draws.mean() == pytest.approx(weights @ terms.mean((1, 2, 3)), abs=0.005)
    assert crossed_bootstrap(terms, (2 * weights).tolist(), accuracy) == pytest.approx(2 * draws)
