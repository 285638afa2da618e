"""Slopes against scipy's regression and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import linregress, t

from kdbench.stats.slope import least_squares_slope, slope_weights


@pytest.mark.parametrize("n", [3, 4, 10])
def test_equals_scipys_regression(n: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=n), rng.normal(size=n)
    slope = least_squares_slope(x.tolist(), y.tolist(), confidence=0.9)
    expected = linregress(x, y)
    half = t.ppf(0.95, n - 2) * expected.stderr
    assert slope is not None and slope.points == n
    assert (slope.value, slope.low, slope.high) == pytest.approx(
        (expected.slope, expected.slope - half, expected.slope + half)
    )


def test_a_straight_line_is_certain() -> None:
    slope = least_squares_slope([1, 2, 4], [5, 4, 2])
    assert slope is not None
    assert (slope.value, slope.low, slope.high) == pytest.approx((-1, -1, -1))


@pytest.mark.parametrize(("x", "y"), [([], []), ([1], [1]), ([1, 2], [1, 2]), ([2, 2, 2], [1, 2, 3])])
def test_no_slope_without_three_points_in_two_places(x: list[float], y: list[float]) -> None:
    assert least_squares_slope(x, y) is None
    assert slope_weights(x) is None


def test_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    x = np.array([0.0, 1, 2, 3])
    found = [least_squares_slope(x.tolist(), (0.5 * x + rng.normal(size=4)).tolist()) for _ in range(2000)]
    assert 0.935 < np.mean([slope.low <= 0.5 <= slope.high for slope in found if slope]) < 0.965
