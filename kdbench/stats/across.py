"""Comparing models over blocks (tasks and pairs), as pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from kdbench.stats.ranks import DECIMALS, ranks


def friedman(scores: np.ndarray) -> tuple[float, float]:
    """Friedman's test that all models rank alike, corrected for ties (Friedman, 1937; Demsar, 2006).

    Args:
        scores: ``(blocks, models)``.

    Returns:
        Chi-squared statistic and its p-value with models - 1 degrees of freedom; 0 and 1 where all are tied.
    """
    blocks, models = scores.shape
    ranked = ranks(scores)
    spread = float(((ranked - (models + 1) / 2) ** 2).sum())
    if spread == 0:
        return 0.0, 1.0
    between = blocks * float(((ranked.mean(0) - (models + 1) / 2) ** 2).sum())
    statistic = blocks * (models - 1) * between / spread
    return statistic, float(stats.chi2.sf(statistic, models - 1))


def wilcoxon_against(scores: np.ndarray, reference: int) -> np.ndarray:
    """Exact signed-rank p-value of each model against one (Wilcoxon, 1945), not corrected for their number.

    Args:
        scores: ``(blocks, models)``.
        reference: index of the model that others are compared with.

    Returns:
        ``(models,)`` two-sided; NaN at the reference, 1 where no block differs.
    """
    differences = scores - scores[:, [reference]]
    p = np.array([signed_rank_p(column) for column in differences.T])
    p[reference] = np.nan
    return p


def signed_rank_p(differences: np.ndarray) -> float:
    """Two-sided exact p-value of the signed-rank statistic; differences of 0 are dropped, equal sizes share a rank.

    All assignments of signs are counted, over twice the ranks since shared ones may be halves: exact with ties, too.

    Args:
        differences: ``(blocks,)``.
    """
    known = np.round(differences, DECIMALS)
    known = known[known != 0]
    weights = np.round(2 * stats.rankdata(np.abs(known))).astype(int)
    chance = np.ones(1)  # of each sum of the ranks of positive differences
    for weight in weights:
        chance = (np.pad(chance, (0, weight)) + np.pad(chance, (weight, 0))) / 2
    observed = int(weights[known > 0].sum())
    return float(min(1.0, 2 * min(chance[: observed + 1].sum(), chance[observed:].sum())))


def smallest_signed_rank_p(blocks: int) -> float:
    """What the signed-rank test gives when all blocks agree: with five it can never reach 0.05."""
    return min(1.0, 2.0 ** (1 - blocks))


def probability_of_improvement(x: np.ndarray, y: np.ndarray) -> float:
    """Mean over tasks of the chance that a run of ``x`` beats one of ``y`` (Agarwal et al., NeurIPS 2021).

    Args:
        x, y: ``(runs, tasks)``, not necessarily as many runs; equal ones count half.
    """
    margin = np.round(x[:, None] - y[None], DECIMALS)
    return float((np.sign(margin) + 1).mean() / 2)


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """Mean of the middle half of all runs and tasks together (Agarwal et al., NeurIPS 2021).

    Args:
        scores: ``(…, runs, tasks)``. Of N numbers, N/4 rounded down are left out on either side.
    """
    return np.asarray(stats.trim_mean(scores.reshape(*scores.shape[:-2], -1), 0.25, axis=-1))


def stratified_bootstrap_interval(
    statistic: Callable[[np.ndarray], np.ndarray],
    scores: np.ndarray,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of a statistic, runs resampled within each task (Agarwal et al., NeurIPS 2021).

    Their percentiles cover too rarely with a handful of runs (83 to 88 % instead of 95 with three). So deviations from
    a task's mean are enlarged by sqrt(runs/(runs - 1)) before they are resampled, as in :mod:`kdbench.stats.crossed`,
    and the interval is the statistic ± Student's quantile, with tasks · (runs - 1) degrees of freedom, times the
    standard deviation of the replicates.

    Args:
        statistic: of ``(…, runs, tasks)``, giving ``(…)``.
        scores: ``(runs, tasks)``.
        confidence: coverage.
        resamples: replicates.
        seed: of the replicates.

    Returns:
        Lower and upper bound; NaN with a single run, which has no spread.
    """
    runs, tasks = scores.shape
    if runs == 1:
        return math.nan, math.nan
    centre = scores.mean(0)
    enlarged = centre + math.sqrt(runs / (runs - 1)) * (scores - centre)
    drawn = np.random.default_rng(seed).integers(0, runs, size=(resamples, runs, tasks))
    error = float(np.std(statistic(enlarged[drawn, np.arange(tasks)])))
    half = error * float(stats.t.ppf(0.5 + confidence / 2, tasks * (runs - 1)))
    value = float(statistic(scores))
    return value - half, value + half
