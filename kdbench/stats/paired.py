"""Comparing two models on the same examples, as pure functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import binom

_CHUNK = 500


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


def crossed_bootstrap(
    first: np.ndarray,
    second: np.ndarray,
    metric: Callable[[np.ndarray], np.ndarray],
    *,
    resamples: int = 4000,
    seed: int = 0,
) -> np.ndarray:
    """Bootstrap draws of a metric's difference, seeds and examples resampled independently and both paired.

    One seed leaves the ordinary paired bootstrap over examples. Examples that look alike to every model are drawn
    together, as one category of a multinomial: the same distribution, at a cost that hardly depends on ``n``.

    Args:
        first, second: ``(seeds, n, terms)`` per-example terms of the metric; row s of both has the same training seed.
        metric: means of the terms, ``(…, terms)``, to the metric, ``(…)``.
        resamples: draws.
        seed: of the draws.

    Returns:
        ``(resamples,)`` differences, first minus second, of the mean over seeds.

    Raises:
        ValueError: the two differ in shape.
    """
    if first.shape != second.shape:
        raise ValueError(f"not paired: {first.shape} and {second.shape}")
    rng = np.random.default_rng(seed)
    both = np.stack([first, second])
    models, seeds, n, terms = both.shape
    kinds, counts = np.unique(both.transpose(2, 0, 1, 3).reshape(n, -1), axis=0, return_counts=True)
    draws = []
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        shares = rng.multinomial(n, counts / n, size=size) / n
        values = metric((shares @ kinds).reshape(size, models, seeds, terms))
        weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=size) / seeds
        draws.append(((values[:, 0] - values[:, 1]) * weights).sum(-1))
    return np.concatenate(draws)


def percentile_interval(draws: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Lower and upper percentile of bootstrap draws."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
