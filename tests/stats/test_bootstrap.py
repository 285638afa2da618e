"""Resampled examples against closed forms and a bootstrap by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from kdbench.stats import bootstrap
from kdbench.stats.bootstrap import resample_examples
from kdbench.stats.sufficient import metric_of_means, metric_terms


def mean(means: np.ndarray) -> np.ndarray:
    return means[..., 0]


@pytest.mark.parametrize("kinds", [4, 400])
def test_covariances_of_means_have_a_closed_form(kinds: int) -> None:
    """The population covariance over n, whether examples are drawn by kind or one by one."""
    rng = np.random.default_rng(0)
    levels = rng.random((2, 2, kinds, 1))
    terms = levels[:, :, rng.integers(0, kinds, 400)]
    draws = resample_examples(terms, mean, 40_000, rng).reshape(-1, 4)
    flat = terms.reshape(4, 400)
    assert draws.mean(0) == pytest.approx(flat.mean(1), abs=5e-4)
    assert np.cov(draws, rowvar=False) * 400 == pytest.approx(np.cov(flat, bias=True), abs=2e-3)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "matthews", "pearson"])
def test_resamples_as_brute_force_does(metric: str) -> None:
    """Drawing examples one by one and computing the metric anew gives the same distribution."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 50)
    predictions = np.where(rng.random((1, 1, 50)) < 0.3, 1 - labels, labels)
    terms = metric_terms(metric, predictions, labels)
    draws = resample_examples(terms, lambda means: metric_of_means(metric, means), 8000, rng).ravel()
    rows = rng.integers(0, 50, (8000, 50))
    brute = metric_of_means(metric, terms[0, 0][rows].mean(1))
    levels = [0.025, 0.25, 0.5, 0.75, 0.975]
    assert np.quantile(draws, levels) == pytest.approx(np.quantile(brute, levels), abs=0.021)
    assert draws.std() == pytest.approx(brute.std(), rel=0.05)


def test_models_and_seeds_see_the_same_examples() -> None:
    """Copies of a model stay copies, mirrored ones mirrored."""
    first = np.random.default_rng(1).random((1, 2, 60, 1))
    draws = resample_examples(np.concatenate([first, first, 1 - first]), mean, 50, np.random.default_rng(0))
    assert draws.shape == (50, 3, 2)
    assert draws[:, 0] == pytest.approx(draws[:, 1]) and draws[:, 0] == pytest.approx(1 - draws[:, 2])
    assert len(np.unique(draws[:, 0, 0])) > 40, "replicates differ"


@pytest.mark.parametrize("kinds", [3, 90])
def test_memory_is_bounded_and_chunks_do_not_show(kinds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many replicates are asked for, few are held at once, and every one is a resample of all n."""
    terms = np.arange(90).reshape(1, 1, 90, 1) % kinds == 0
    sizes: list[int] = []

    def metric(means: np.ndarray) -> np.ndarray:
        sizes.append(len(means))
        return mean(means)

    monkeypatch.setattr(bootstrap, "_CHUNK_NUMBERS", 700)
    draws = resample_examples(terms.astype(float), metric, 50, np.random.default_rng(0))
    assert sizes == [7] * 7 + [1]
    assert (draws * 90).round(9) == pytest.approx((draws * 90).round())
    assert len(np.unique(draws)) > 3
