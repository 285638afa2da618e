"""Scores of several models with seeds and examples both drawn at random, and what their differences are worth.

The bootstrap resamples seeds and examples independently of each other, all models together (the multi-bootstrap of
Sellam et al., ICLR 2022; the pigeonhole bootstrap of Owen, 2007). A handful of seeds makes its percentiles too narrow:
resampling S values finds (S - 1)/S of their variance, and a normal quantile knows nothing of how badly so few values
tell it. So deviations of seeds are enlarged by sqrt(S/(S - 1)) before they are resampled, and intervals are Student's
with Satterthwaite's (1946) degrees of freedom: S - 1 where all variance is the seeds', more where it is the examples'.
What varies with seed and example together is counted up to three times (Owen, 2007), which errs on the wide side.
All of it holds for the teachers at hand: students of a pair share theirs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from kdbench.stats.bootstrap import Metric, resample_examples
from kdbench.stats.ranks import DECIMALS

_ROUNDING = 1e-7
"""Contrasts and standard errors below are taken for 0."""


@dataclass(frozen=True)
class Part:
    """One set of examples that all models were measured on.

    Attributes:
        terms: ``(models, seeds, n, terms)`` what each example adds to the metric; row s of every model has the same
            training seed.
        metric: of the means of the terms.
    """

    terms: np.ndarray
    metric: Metric


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of scores.

    Attributes:
        value: of the scores as they are.
        low, high: its interval.
        p: two-sided, for a true value of 0.
        df: degrees of freedom; infinite where only examples vary.
    """

    value: float
    low: float
    high: float
    p: float
    df: float


@dataclass(frozen=True)
class CrossedScores:
    """Scores of models over strata, see :func:`crossed_scores`.

    Attributes:
        by_seed: for each stratum ``(models, seeds)``, the mean over its parts.
        stratum_draws: for each stratum ``(resamples, models)``.
        examples: how many there are in all parts.
    """

    by_seed: tuple[np.ndarray, ...]
    stratum_draws: tuple[np.ndarray, ...]
    examples: int

    @property
    def means(self) -> np.ndarray:
        """``(models,)``: mean over strata of the mean over seeds; rounded, so that equal scores are equal."""
        return np.asarray(np.mean([scores.mean(1) for scores in self.by_seed], axis=0).round(DECIMALS))

    @property
    def draws(self) -> np.ndarray:
        """``(resamples, models)``: bootstrap replicates of the means."""
        return np.asarray(np.mean(self.stratum_draws, axis=0))

    def contrast(self, weights: Sequence[float] | np.ndarray, confidence: float = 0.95) -> Contrast:
        """A weighted sum of the models' means, ``(1, -1)`` for a difference of two.

        With a single seed this knows examples only and says nothing about the spread of training; for accuracy on one
        set :func:`kdbench.stats.paired.mcnemar_exact` is exact where this is approximate. A few dozen examples are few
        for it, too.
        """
        w = np.asarray(weights, dtype=np.float64)
        total, seeds = (np.einsum("i,tij,j->t", w, matrices, w) for matrices in self._covariances())
        value = float(w @ self.means)
        error, df, p = map(float, self._judge(np.asarray(value), total, seeds))
        half = error * _quantile(0.5 + confidence / 2, df)
        return Contrast(value, value - half, value + half, p, df)

    def pairwise(self) -> np.ndarray:
        """``(models, models)``: two-sided p-value of each pair of models being equal, not corrected for many pairs."""
        means = self.means
        return self._judge(means[:, None] - means[None, :], *map(_of_differences, self._covariances()))[2]

    def _covariances(self) -> tuple[np.ndarray, np.ndarray]:
        """``(strata, models, models)``: of a stratum's share in the mean, in all and from seeds alone."""
        total = np.stack([np.atleast_2d(np.cov(draws, rowvar=False)) for draws in self.stratum_draws])
        seeds = np.stack([_seed_covariance(scores) for scores in self.by_seed])
        return total / len(total) ** 2, seeds / len(total) ** 2

    def _judge(self, value: np.ndarray, total: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, ...]:
        """Standard error, degrees of freedom and p-value of contrasts.

        Without any error p is what a test of the signs of that many examples would give: 1 for a single one.

        Args:
            value: ``(…)``.
            total, seeds: ``(strata, …)`` variance in all, and from seeds alone.
        """
        error = np.sqrt(np.maximum(total.sum(0), 0))
        error = np.where(error < _ROUNDING, 0.0, error)
        ways = np.array([max(1, scores.shape[1] - 1) for scores in self.by_seed])
        uncertain = (seeds**2 / ways.reshape(-1, *[1] * value.ndim)).sum(0)
        certain = (uncertain <= 0) | (error == 0)
        df = np.where(certain, np.inf, error**4 / np.where(certain, 1.0, uncertain))
        ratio = np.abs(value) / np.where(error > 0, error, 1.0)
        without = np.where(np.abs(value) < _ROUNDING, 1.0, min(1.0, 2.0 ** (1 - min(self.examples, 1000))))
        return error, df, np.where(error > 0, 2 * stats.t.sf(ratio, np.minimum(df, 1e9)), without)


def crossed_scores(strata: Sequence[Sequence[Part]], *, resamples: int = 10_000, seed: int = 0) -> CrossedScores:
    """Score models by the mean over strata (tasks) of the mean over a stratum's parts (sets).

    Parts of a stratum share their seeds, since one trained model was measured on all of them, but not their examples.
    Strata share nothing but the models.

    Args:
        strata: the same models everywhere.
        resamples: bootstrap replicates.
        seed: of the replicates.

    Raises:
        ValueError: no stratum, a stratum without parts, a part without models, seeds or examples, or parts whose models
            or seeds do not match.
    """
    if not strata or not all(strata):
        raise ValueError("scores need at least one stratum, and each at least one part")
    shapes = [[part.terms.shape for part in parts] for parts in strata]
    if any(0 in shape[:3] for parts in shapes for shape in parts):
        raise ValueError("scores need at least one model, one seed and one example in every part")
    if any(shape[0] != shapes[0][0][0] or shape[1] != parts[0][1] for parts in shapes for shape in parts):
        raise ValueError("parts are not of the same models and seeds")
    rng = np.random.default_rng(seed)
    by_seed = [np.mean([part.metric(part.terms.mean(2)) for part in parts], axis=0) for parts in strata]
    draws = [_crossed_bootstrap(parts, resamples, rng) for parts in strata]
    return CrossedScores(tuple(by_seed), tuple(draws), sum(shape[2] for parts in shapes for shape in parts))


def _crossed_bootstrap(parts: Sequence[Part], resamples: int, rng: np.random.Generator) -> np.ndarray:
    """``(resamples, models)`` of one stratum."""
    seeds = parts[0].terms.shape[1]
    shares = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    enlarged = 1 / seeds + math.sqrt(seeds / max(1, seeds - 1)) * (shares - 1 / seeds)
    sets = [
        np.einsum("rms,rs->rm", resample_examples(part.terms, part.metric, resamples, rng), enlarged) for part in parts
    ]
    return np.asarray(np.mean(sets, axis=0))


def _seed_covariance(scores: np.ndarray) -> np.ndarray:
    """``(models, models)``: of the mean over seeds, from the spread of the seeds alone; 0 with one seed."""
    models, seeds = scores.shape
    return np.atleast_2d(np.cov(scores)) / seeds if seeds > 1 else np.zeros((models, models))


def _of_differences(covariances: np.ndarray) -> np.ndarray:
    """Variances of all pairwise differences, ``(strata, models, models)``."""
    own = np.diagonal(covariances, axis1=1, axis2=2)
    return np.asarray(np.maximum(own[:, :, None] + own[:, None, :] - 2 * covariances, 0))


def _quantile(level: float, df: float) -> float:
    return float(stats.norm.ppf(level) if math.isinf(df) else stats.t.ppf(level, df))
