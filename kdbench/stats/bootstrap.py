"""The bootstrap over examples, of all models and seeds at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Metric = Callable[[np.ndarray], np.ndarray]
"""Means of terms ``(…, terms)`` to the metric ``(…)``."""

_CHUNK_NUMBERS = 4_000_000


def resample_examples(terms: np.ndarray, metric: Metric, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The metric on examples drawn with replacement, the same ones for all models and seeds.

    Examples that look alike to all models are drawn together, as one category of a multinomial: the same
    distribution, at a cost that depends on how many kinds there are.

    Args:
        terms: ``(models, seeds, n, terms)`` what each example adds to the metric.
        metric: of the means of the terms.
        resamples: bootstrap replicates.
        rng: source of the draws.

    Returns:
        ``(resamples, models, seeds)``.
    """
    models, seeds, n, size = terms.shape
    rows = np.ascontiguousarray(terms.transpose(2, 0, 1, 3).reshape(n, -1), dtype=np.float64)
    as_bytes = rows.view(np.dtype((np.void, rows.strides[0]))).ravel()  # sorts ten times as fast as numbers do
    alike, counts = np.unique(as_bytes, return_counts=True)
    kinds = alike.view(np.float64).reshape(len(alike), -1)
    chunk = max(1, _CHUNK_NUMBERS // n)
    found = np.empty((resamples, models, seeds))
    for start in range(0, resamples, chunk):
        stop = min(start + chunk, resamples)
        shares = _draw_counts(rng, counts, stop - start) / n
        found[start:stop] = metric((shares @ kinds).reshape(stop - start, models, seeds, size))
    return found


def _draw_counts(rng: np.random.Generator, counts: np.ndarray, size: int) -> np.ndarray:
    """How often each kind is among n draws, ``(size, kinds)``; ``counts`` of all n examples by kind."""
    n = int(counts.sum())
    if len(counts) < n / 16:
        return rng.multinomial(n, counts / n, size=size)
    kind = np.repeat(np.arange(len(counts)), counts)  # drawing n examples is faster than a binomial for every kind
    drawn = kind[rng.integers(0, n, size=(size, n), dtype=np.int32)]
    drawn += np.arange(size)[:, None] * len(counts)
    return np.bincount(drawn.ravel(), minlength=size * len(counts)).reshape(size, len(counts))
