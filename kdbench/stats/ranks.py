"""Ranks, and how much of them the data can tell."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from kdbench.stats.multiple import holm

DECIMALS = 12
"""Scores that agree to so many are equal."""


def ranks(scores: np.ndarray) -> np.ndarray:
    """``(…, models)`` to ranks, 1 for the highest score, ties averaged.

    Scores that differ by rounding alone (the same parts added up in another order) are tied.
    """
    return np.asarray(rankdata(-np.round(scores, DECIMALS), axis=-1))


def mean_rank(scores: np.ndarray) -> np.ndarray:
    """``(blocks, models)`` to ``(models,)``."""
    return np.asarray(ranks(scores).mean(0))


def separable(p: np.ndarray, level: float = 0.05) -> np.ndarray:
    """``(models, models)`` bool: which pairs are told apart, by p-values that are corrected for all pairs (Holm)."""
    upper = np.triu_indices(len(p), 1)
    found = np.zeros(p.shape, dtype=bool)
    found[upper] = holm(p[upper]) < level
    return found | found.T


def rank_ranges(scores: np.ndarray, p: np.ndarray, level: float = 0.05) -> list[tuple[int, int]]:
    """The ranks of each model that are not ruled out.

    From one more than the models that are separably better, to as many as are not separably worse.

    Args:
        scores: ``(models,)``, more is better.
        p: ``(models, models)`` p-values of pairs, not yet corrected.
        level: of the family of all pairs.
    """
    apart = separable(p, level)
    better = (apart & (scores[None, :] > scores[:, None])).sum(1)
    worse = (apart & (scores[None, :] < scores[:, None])).sum(1)
    return [(int(above) + 1, len(scores) - int(below)) for above, below in zip(better, worse, strict=True)]


def inseparable_from_best(scores: np.ndarray, p: np.ndarray, level: float = 0.05) -> np.ndarray:
    """``(models,)`` bool: who is not told apart from the model with the highest score; that model is among them."""
    best = int(np.argmax(scores))
    return np.asarray(~separable(p, level)[best])


def rank_intervals(draws: np.ndarray, confidence: float = 0.95) -> np.ndarray:
    """Percentile intervals ``(models, 2)`` of ranks over bootstrap replicates.

    Args:
        draws: ``(resamples, models)`` scores, or ``(resamples, blocks, models)`` for the mean rank over blocks.
        confidence: coverage.
    """
    found = ranks(draws)
    if found.ndim == 3:
        found = found.mean(1)
    tail = (1 - confidence) / 2
    return np.asarray(np.quantile(found, [tail, 1 - tail], axis=0).T)
