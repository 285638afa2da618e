"""Contrasts of models over seeds and examples: closed forms, brute force, degenerate input, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from kdbench.stats.crossed import CrossedScores, Part, crossed_scores
from kdbench.stats.sufficient import metric_of_means, metric_terms

DIFFERENCE = (1, -1)


def mean(means: np.ndarray) -> np.ndarray:
    return means[..., 0]


def part(values: np.ndarray) -> Part:
    """``(models, seeds, n)`` averaged."""
    return Part(values[..., None], mean)


def noise(rng: np.random.Generator, models: int, seeds: int, n: int, by_seed: float = 0.3) -> np.ndarray:
    """Effects of seeds, of examples (shared by the seeds), and of both."""
    effects = rng.normal(0, by_seed, (models, seeds, 1)) + rng.normal(0, 1, (models, 1, n))
    return effects + rng.normal(0, 1, (models, seeds, n))


def exact_variance(contrasts: list[np.ndarray]) -> float:
    """Of the bootstrap mean over parts of seeds × examples, without drawing: seeds are shared, examples are not.

    With random weights w of seeds (mean 1/S) and v of examples, wᵀXv has the variance
    E[w]ᵀX Cov(v) XᵀE[w] + E[v]ᵀXᵀ Cov(w) X E[v] + tr(Cov(w) X Cov(v) Xᵀ).
    """
    seeds = len(contrasts[0])
    of_seeds = (np.eye(seeds) - 1 / seeds) / (seeds * max(1, seeds - 1))  # enlarged by S/(S - 1)
    at_once = np.mean([x.mean(1) for x in contrasts], axis=0)
    total = at_once @ of_seeds @ at_once
    for x in contrasts:
        of_examples = np.cov(x, bias=True).reshape(seeds, seeds) / x.shape[1] / len(contrasts) ** 2
        total += of_examples.mean() + np.trace(of_seeds @ of_examples)
    return float(total)


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
def test_a_difference_has_a_closed_form(seeds: int) -> None:
    """Standard error, Satterthwaite's degrees of freedom, Student's interval and p, two sets of one task included."""
    rng = np.random.default_rng(seeds)
    sets = [noise(rng, 2, seeds, n) for n in (150, 80)]
    found = crossed_scores([[part(values) for values in sets]], resamples=60_000).contrast(DIFFERENCE, 0.9)
    contrasts = [values[0] - values[1] for values in sets]
    variance = exact_variance(contrasts)
    per_seed = np.mean([x.mean(1) for x in contrasts], axis=0)
    df = (seeds - 1) * (variance / (per_seed.var(ddof=1) / seeds)) ** 2 if seeds > 1 else math.inf
    assert found.value == pytest.approx(per_seed.mean())
    assert found.df == pytest.approx(df, rel=0.05)
    half = stats.t.ppf(0.95, df) * math.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), rel=0.03, abs=0.01)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.value) / math.sqrt(variance), df), abs=0.01)


def test_tasks_add_variances_and_degrees_of_freedom() -> None:
    """Over T tasks: variances add over T², and Satterthwaite's formula runs over all of them."""
    rng = np.random.default_rng(7)
    tasks = [noise(rng, 2, 3, 100, by_seed=1), noise(rng, 2, 5, 60), noise(rng, 2, 3, 30)]
    found = crossed_scores([[part(values)] for values in tasks], resamples=60_000).contrast(DIFFERENCE)
    contrasts = [values[0] - values[1] for values in tasks]
    variance = sum(exact_variance([x]) for x in contrasts) / 9
    of_seeds = [x.mean(1).var(ddof=1) / len(x) / 9 for x in contrasts]
    df = variance**2 / sum(v**2 / (len(x) - 1) for v, x in zip(of_seeds, contrasts, strict=True))
    assert found.value == pytest.approx(np.mean([x.mean() for x in contrasts]))
    assert found.df == pytest.approx(df, rel=0.05)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, df) * math.sqrt(variance), rel=0.02)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "matthews", "pearson"])
def test_draws_are_those_of_brute_force(metric: str) -> None:
    """Seeds and examples drawn one by one, every model with the same ones; then the spread of seeds enlarged."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 50)
    flips = rng.random((2, 3, 50)) < np.array([0.15, 0.35]).reshape(2, 1, 1)
    terms = metric_terms(metric, np.where(flips, 1 - labels, labels), labels)
    found = crossed_scores([[Part(terms, lambda means: metric_of_means(metric, means))]], resamples=6000)
    brute = []
    for _ in range(6000):
        values = metric_of_means(metric, terms[:, :, rng.integers(0, 50, 50)].mean(2))
        centre = values.mean(1)
        drawn = values[:, rng.integers(0, 3, 3)].mean(1)
        brute.append(centre + math.sqrt(3 / 2) * (drawn - centre))
    difference, expected = found.draws @ DIFFERENCE, np.array(brute) @ DIFFERENCE
    levels = [0.025, 0.25, 0.75, 0.975]
    assert difference.mean() == pytest.approx(expected.mean(), abs=0.01)
    assert np.quantile(difference, levels) == pytest.approx(np.quantile(expected, levels), abs=0.025)
    assert found.means == pytest.approx(metric_of_means(metric, terms.mean(2)).mean(1))


def test_pairs_are_judged_as_contrasts_are() -> None:
    rng = np.random.default_rng(2)
    scores = crossed_scores([[part(noise(rng, 4, 3, 90))], [part(noise(rng, 4, 2, 50))]], resamples=500)
    p = scores.pairwise()
    for i in range(4):
        assert p[i, i] == 1
        for j in range(4):
            weights = np.zeros(4)
            weights[i] += 1
            weights[j] -= 1
            assert p[i, j] == pytest.approx(scores.contrast(weights).p)


def test_a_contrast_scales_with_its_weights() -> None:
    """Three models; twice the weights are twice the interval at the same p, the opposite ones mirror it."""
    scores = crossed_scores([[part(noise(np.random.default_rng(1), 3, 3, 60))]], resamples=500)
    weights = np.array([-1.0, 0.25, 0.75])
    one, two, mirrored = (scores.contrast(factor * weights) for factor in (1, 2, -1))
    assert one.value == pytest.approx(weights @ scores.means)
    assert (two.value, two.low, two.high) == pytest.approx((2 * one.value, 2 * one.low, 2 * one.high))
    assert (mirrored.value, mirrored.low, mirrored.high) == pytest.approx((-one.value, -one.high, -one.low))
    assert two.p == pytest.approx(one.p) and mirrored.p == pytest.approx(one.p)


def test_the_same_numbers_every_time() -> None:
    values = noise(np.random.default_rng(0), 2, 3, 40)
    first, again, other = (crossed_scores([[part(values)]], resamples=50, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.draws, again.draws) and not np.array_equal(first.draws, other.draws)


def test_models_that_are_the_same() -> None:
    """No difference, no width, p 1; also in the mean over tasks, and among others."""
    rng = np.random.default_rng(0)
    one, other = noise(rng, 1, 3, 50), noise(rng, 1, 3, 50)
    values = np.concatenate([one, one, other])
    scores = crossed_scores([[part(values)], [part(values + 1)]], resamples=200)
    found = scores.contrast((1, -1, 0))
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert scores.pairwise()[0, 1] == 1 and scores.pairwise()[0, 2] < 1


def test_equal_scores_are_equal_however_they_were_added_up() -> None:
    """0.8 + 0.7 + 0.6 is not 3 · 0.7 to the last bit."""
    shares = np.array([[0.8, 0.7, 0.6], [0.7, 0.7, 0.7]])
    scores = crossed_scores([[part(np.arange(10) < 10 * shares[..., None])]], resamples=50)
    assert len({*scores.means}) == 1


def test_outcomes_without_any_spread() -> None:
    """All right against all wrong is as sure as signs of so many examples can make it; one example tells nothing."""

    def judge(n: int, seeds: int) -> float:
        values = np.zeros((2, seeds, n))
        values[0] = 1
        found = crossed_scores([[part(values)]], resamples=50).contrast(DIFFERENCE)
        assert (found.value, found.low, found.high) == (1, 1, 1)
        return found.p

    assert [judge(1, 1), judge(1, 3), judge(6, 3)] == [1, 1, 2**-5]
    assert judge(5000, 1) < 1e-200


@pytest.mark.parametrize("seed", range(5))
def test_a_variance_that_is_rounding_is_none(seed: int) -> None:
    """A model that is ahead by the same in every seed and example, whatever the bits say."""
    values = noise(np.random.default_rng(seed), 1, 3, 6)
    scores = crossed_scores([[part(np.concatenate([values, values + 1 / 3]))]], resamples=50)
    assert scores.pairwise()[0, 1] == scores.contrast(DIFFERENCE).p == 2**-5


def _without(axis: int) -> list[list[Part]]:
    return [[part(np.zeros([0 if i == axis else 2 for i in range(3)]))]]


@pytest.mark.parametrize(
    ("strata", "message"),
    [
        ([], "at least one stratum"),
        ([[]], "at least one part"),
        *((_without(axis), "one model, one seed and one example") for axis in range(3)),
        ([[part(np.zeros((2, 3, 4)))], [part(np.zeros((3, 3, 4)))]], "same models and seeds"),
        ([[part(np.zeros((2, 3, 4))), part(np.zeros((2, 2, 4)))]], "same models and seeds"),
    ],
)
def test_what_cannot_be_scored(strata: list[list[Part]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        crossed_scores(strata)


@pytest.mark.parametrize(
    ("seeds", "by_seed", "tasks", "low", "high"),
    [(3, 1.0, 1, 0.93, 0.98), (5, 1.0, 1, 0.93, 0.98), (3, 0.1, 1, 0.95, 0.999), (3, 1.0, 3, 0.93, 0.985)],
)
def test_covers_the_truth_as_often_as_it_says(seeds: int, by_seed: float, tasks: int, low: float, high: float) -> None:
    """Crossed random effects whose seeds decide (nominal), or hardly matter (too wide, on the safe side)."""
    rng = np.random.default_rng(5)

    def interval_covers() -> bool:
        strata = [[part(noise(rng, 2, seeds, 60, by_seed))] for _ in range(tasks)]
        found = crossed_scores(strata, resamples=200).contrast(DIFFERENCE)
        return found.low <= 0 <= found.high

    assert low <= np.mean([interval_covers() for _ in range(600)]) <= high


def test_plain_percentiles_of_three_seeds_would_cover_too_rarely() -> None:
    """Why the interval is not made of them: enlarged or not, three seeds have but few resamples."""
    rng = np.random.default_rng(6)

    def covers(scores: CrossedScores) -> bool:
        low, high = np.quantile(scores.draws @ DIFFERENCE, [0.025, 0.975])
        return bool(low <= 0 <= high)

    found = [covers(crossed_scores([[part(noise(rng, 2, 3, 60, 2.0))]], resamples=200)) for _ in range(300)]
    assert np.mean(found) < 0.9
