"""Metrics from means of terms are the metrics themselves, on the whole set and on every resample."""

from __future__ import annotations

import numpy as np
import pytest

from kdbench.stats.sufficient import metric_of_means, metric_terms
from kdbench.tasks.metrics import METRICS, compute_metric


def sample(metric: str, rng: np.random.Generator, n: int = 60, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    if metric in ("pearson", "spearman"):
        labels = rng.normal(100, 1, n)
        return labels + rng.normal(0, 1, n), labels
    count = 2 if metric == "f1" else classes
    labels = rng.integers(0, count, n)
    return np.where(rng.random(n) < 0.6, labels, rng.integers(0, count, n)), labels


@pytest.mark.parametrize("metric", METRICS)
def test_equals_the_metric(metric: str) -> None:
    """Also on bootstrap resamples, all at once; except Spearman's, whose ranks stay those of the whole set."""
    rng = np.random.default_rng(1)
    predictions, labels = sample(metric, rng)
    terms = metric_terms(metric, predictions, labels)
    assert metric_of_means(metric, terms.mean(0)) == pytest.approx(compute_metric(metric, predictions, labels))
    rows = rng.integers(0, len(labels), (20, len(labels)))
    expected = [compute_metric(metric, predictions[row], labels[row]) for row in rows]
    tolerance = 0.05 if metric == "spearman" else 1e-9
    assert metric_of_means(metric, terms[rows].mean(1)) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("metric", METRICS)
def test_several_models_at_once(metric: str) -> None:
    """Each as it would be alone, also one that predicts a class that nobody else knows."""
    rng = np.random.default_rng(2)
    predictions, labels = sample(metric, rng)
    others = np.stack([predictions, labels, np.full_like(labels, 7 if metric == "matthews" else 1)])
    values = metric_of_means(metric, metric_terms(metric, others, labels).mean(-2))
    assert values == pytest.approx([compute_metric(metric, row, labels) for row in others], abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_a_constant_model_has_a_defined_value(metric: str) -> None:
    """As the metrics define it: 0, except for accuracy."""
    labels = np.array([0, 1, 0, 1])
    predictions = np.zeros(4, dtype=np.int64)
    value = metric_of_means(metric, metric_terms(metric, predictions, labels).mean(0))
    assert value == pytest.approx(compute_metric(metric, predictions, labels), abs=1e-12)


def test_unknown_metric() -> None:
    with pytest.raises(ValueError, match="bleu"):
        metric_terms("bleu", np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="bleu"):
        metric_of_means("bleu", np.zeros(2))
