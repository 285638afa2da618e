"""The slope of a straight line through points, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t


@dataclass(frozen=True)
class Slope:
    """Change of y per unit of x.

    Attributes:
        value: least squares.
        low, high: t-interval with ``points - 2`` degrees of freedom.
        points: how many the line was put through.
    """

    value: float
    low: float
    high: float
    points: int


def least_squares_slope(x: Sequence[float], y: Sequence[float], confidence: float = 0.95) -> Slope | None:
    """Ordinary least squares of y on x; nothing for fewer than three points, or fewer than two places.

    The interval takes what the line leaves unexplained for noise, whether it is noise of training or the truth
    not being straight.
    """
    weights = slope_weights(x)
    if weights is None:
        return None
    n, values = len(x), np.asarray(y, dtype=np.float64)
    centred = np.asarray(x, dtype=np.float64) - np.mean(x)
    value = float(weights @ values)
    residuals = values - values.mean() - value * centred
    error = math.sqrt(float((residuals**2).sum()) / (n - 2) / float((centred**2).sum()))
    half = float(t.ppf(0.5 + confidence / 2, n - 2)) * error
    return Slope(value, value - half, value + half, n)


def slope_weights(x: Sequence[float]) -> np.ndarray | None:
    """The slope as a weighted sum of y: ``(n,)``; nothing for fewer than three points, or fewer than two places."""
    at = np.asarray(x, dtype=np.float64)
    if len(at) < 3 or np.ptp(at) == 0:
        return None
    centred = at - at.mean()
    return np.asarray(centred / (centred**2).sum())
