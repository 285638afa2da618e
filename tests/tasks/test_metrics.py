"""Metrics: hand-worked cases, sklearn and scipy, and what constants give."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from kdbench.tasks.metrics import METRICS, compute_metric

TRUE = np.array([1, 1, 1, 0, 0, 0, 0, 1])
FOUND = np.array([1, 1, 0, 0, 0, 1, 0, 0])  # TP 2, FN 2, FP 1, TN 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [("accuracy", 5 / 8), ("f1", 4 / 7), ("matthews", (2 * 3 - 1 * 2) / (3 * 4 * 4 * 5) ** 0.5)],
)
def test_binary_metrics_by_hand(name: str, expected: float) -> None:
    """From the confusion matrix; F1 is that of class 1."""
    assert compute_metric(name, FOUND, TRUE) == pytest.approx(expected)


def test_f1_is_not_symmetric_in_the_classes() -> None:
    """Swapping the names of the classes gives the other class's F1: 6/9."""
    assert compute_metric("f1", 1 - FOUND, 1 - TRUE) == pytest.approx(6 / 9)


def test_correlations_by_hand() -> None:
    """Ranks 1 2 4 3 against 1 2 3 4: ρ = 1 - 6·2/60; Pearson of a line is 1."""
    gold = np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32)
    assert compute_metric("spearman", np.array([0.1, 5.0, 900.0, 7.0]), gold) == pytest.approx(0.8)
    assert compute_metric("pearson", 3 * gold - 7, gold) == pytest.approx(1.0)
    assert compute_metric("pearson", -gold, gold) == pytest.approx(-1.0)


@given(st.integers(0, 10_000))
def test_metrics_match_sklearn_and_scipy(seed: int) -> None:
    """Random predictions of 25 rows."""
    rng = np.random.default_rng(seed)
    predictions, labels = rng.integers(2, size=(2, 25))
    assert compute_metric("accuracy", predictions, labels) == sk.accuracy_score(labels, predictions)
    expected = sk.f1_score(labels, predictions, zero_division=0.0)
    assert compute_metric("f1", predictions, labels) == pytest.approx(expected)
    assert compute_metric("matthews", predictions, labels) == pytest.approx(sk.matthews_corrcoef(labels, predictions))
    scores, gold = rng.normal(size=(2, 25)).astype(np.float32)
    assert compute_metric("pearson", scores, gold) == pytest.approx(np.corrcoef(scores, gold)[0, 1], abs=1e-6)
    ranks = np.corrcoef(stats.rankdata(scores), stats.rankdata(gold))[0, 1]
    assert compute_metric("spearman", scores, gold) == pytest.approx(ranks, abs=1e-9)


@pytest.mark.parametrize("name", ["matthews", "pearson", "spearman", "f1"])
@pytest.mark.parametrize("constant", [0, 1])
def test_constant_predictions_are_worth_nothing(name: str, constant: int) -> None:
    """0, not NaN, and without a warning; F1 of "always 1" is the exception."""
    labels = TRUE.astype(np.float32) if name in ("pearson", "spearman") else TRUE
    predictions = np.full(8, constant, dtype=labels.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = compute_metric(name, predictions, labels)
    assert value == (pytest.approx(2 / 3) if name == "f1" and constant else 0.0)


def test_unknown_metric() -> None:
    """Names outside METRICS are refused, all inside are known."""
    with pytest.raises(ValueError, match="unknown metric 'acuracy'"):
        compute_metric("acuracy", FOUND, TRUE)
    for name in METRICS:
        assert isinstance(compute_metric(name, FOUND, TRUE), float)
