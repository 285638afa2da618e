"""Wilson's interval: published values, its defining equation, and its coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm

from kdbench.stats.intervals import wilson_interval


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe, Statistics in Medicine 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_newcombes_table(successes: int, n: int, low: float, high: float) -> None:
    """The four examples that every comparison of intervals uses."""
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("n", [1, 5, 400])
def test_extremes_have_a_closed_form(n: int) -> None:
    """No success: [0, z²/(n+z²)]; all: its mirror image."""
    z2 = norm.ppf(0.975) ** 2
    assert wilson_interval(0, n) == pytest.approx((0, z2 / (n + z2)))
    assert wilson_interval(n, n) == pytest.approx((n / (n + z2), 1))


@given(st.integers(1, 2000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_bounds_are_where_the_score_test_is_just_significant(n: int, share: float, confidence: float) -> None:
    """(p̂ - p)² = z²·p(1-p)/n at both bounds: the definition. And p̂ lies between them."""
    successes = round(share * n)
    low, high = wilson_interval(successes, n, confidence)
    z, p = norm.ppf(0.5 + confidence / 2), successes / n
    assert 0 <= low <= p + 1e-12 and p - 1e-12 <= high <= 1
    for bound in (low, high):
        assert (p - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / n, abs=1e-9)


@given(st.integers(1, 500), st.integers(0, 500))
def test_failures_mirror_successes(n: int, k: int) -> None:
    """Counting the other outcome gives the mirrored interval."""
    k = min(k, n)
    low, high = wilson_interval(k, n)
    assert wilson_interval(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_more_trials_and_less_confidence_narrow_the_interval() -> None:
    """The width falls as 1/√n."""
    widths = [high - low for low, high in (wilson_interval(n * 0.3, n) for n in (100, 400))]
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.02)
    assert math.dist(wilson_interval(30, 100, 0.8), (0.3, 0.3)) < math.dist(wilson_interval(30, 100), (0.3, 0.3))


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("n", [50, 200])
def test_coverage_is_near_nominal(p: float, n: int) -> None:
    """Exact coverage by summing the binomial: near 95 %, far better than the Wald interval at the edges."""
    bounds = np.array([wilson_interval(k, n) for k in range(n + 1)])
    covered = binom.pmf(np.arange(n + 1), n, p)[(bounds[:, 0] <= p) & (p <= bounds[:, 1])].sum()
    assert 0.92 < covered < 0.99
