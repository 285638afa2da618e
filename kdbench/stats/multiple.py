"""Correcting p-values for how many were looked at."""

from __future__ import annotations

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down correction (Holm, 1979): controls the chance of any false finding, whatever the dependence.

    Args:
        p: any shape; NaN stays NaN and does not count as a test.

    Returns:
        Adjusted p-values of the same shape, at most 1.
    """
    adjusted = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    values = p[known]
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    result = np.empty_like(values)
    result[order] = np.minimum(1.0, stepped)
    adjusted[known] = result
    return adjusted
