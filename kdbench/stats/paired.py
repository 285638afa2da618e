"""Comparing two models on the same examples, as pure functions."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom


def mcnemar_exact(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided exact p-value that two models are right equally often (McNemar, 1947).

    Only the examples on which they differ count; under the null hypothesis each is a fair coin.

    Args:
        first, second: ``(n,)`` booleans, which examples each model got right.
    """
    only_first = int(np.sum(first & ~second))
    only_second = int(np.sum(second & ~first))
    discordant = only_first + only_second
    return min(1.0, 2 * float(binom.cdf(min(only_first, only_second), discordant, 0.5)))
