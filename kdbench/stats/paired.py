"""Comparing two models on the same examples, as pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    terms: np.ndarray,
    contrast: Sequence[float],
    metric: Callable[[np.ndarray], np.ndarray],
    *,
    resamples: int = 4000,
    seed: int = 0,
) -> np.ndarray:
    """Bootstrap draws of a contrast of models, seeds and examples resampled independently and all models paired.

    One seed leaves the ordinary paired bootstrap over examples. Examples that look alike to every model are drawn
    together, as one category of a multinomial: the same distribution, at a cost that hardly depends on ``n``.

    Args:
        terms: ``(models, seeds, n, terms)`` what each example adds to the metric; row s of every model has the same
            training seed.
        contrast: weight of each model's score, ``(1, -1)`` for a difference.
        metric: means of the terms, ``(…, terms)``, to the metric, ``(…)``.
        resamples: draws.
        seed: of the draws.

    Returns:
        ``(resamples,)`` contrasts of the models' means over seeds.
    """
    rng = np.random.default_rng(seed)
    models, seeds, n, size = terms.shape
    kinds, counts = np.unique(terms.transpose(2, 0, 1, 3).reshape(n, -1), axis=0, return_counts=True)
    draws = []
    for start in range(0, resamples, _CHUNK):
        chunk = min(_CHUNK, resamples - start)
        shares = rng.multinomial(n, counts / n, size=chunk) / n
        values = metric((shares @ kinds).reshape(chunk, models, seeds, size))
        weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=chunk) / seeds
        by_seed = np.einsum("bms,m->bs", values, np.asarray(contrast, dtype=np.float64))
        draws.append((by_seed * weights).sum(-1))
    return np.concatenate(draws)


def percentile_interval(draws: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Lower and upper percentile of bootstrap draws."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
