"""Calibration: ECE by brute force, NLL and the Brier score by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from kdbench.stats.calibration import brier_score, expected_calibration_error, negative_log_likelihood


def _brute_force_ece(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    total = 0.0
    for b in range(bins):
        members = [i for i, c in enumerate(confidence) if b / bins < c <= (b + 1) / bins or (b == 0 and c == 0)]
        if members:
            gap = sum(correct[i] for i in members) / len(members) - sum(confidence[i] for i in members) / len(members)
            total += len(members) / len(confidence) * abs(gap)
    return total


def test_ece_by_hand() -> None:
    """Two bins: 0.2 and 0.4 with half right (gap 0.2), 0.9 and 0.7 all right (gap 0.2); over four examples 0.2."""
    confidence, correct = np.array([0.2, 0.4, 0.9, 0.7]), np.array([True, False, True, True])
    assert expected_calibration_error(confidence, correct, 2) == pytest.approx(0.2)


def test_ece_weighs_bins_by_their_size() -> None:
    """Three perfectly calibrated examples and one that is off by 0.9."""
    confidence, correct = np.array([1.0, 1.0, 1.0, 0.1]), np.array([True, True, True, True])
    assert expected_calibration_error(confidence, correct, 10) == pytest.approx(0.9 / 4)


def test_gaps_of_opposite_sign_do_not_cancel_across_bins_but_do_within_one() -> None:
    """Over- and under-confidence in different bins add up; in one bin they average out."""
    confidence, correct = np.array([0.3, 0.7]), np.array([True, False])
    assert expected_calibration_error(confidence, correct, 2) == pytest.approx(0.7)
    assert expected_calibration_error(confidence, correct, 1) == pytest.approx(0.0)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(2, 20))
def test_ece_by_brute_force(rows: list[tuple[float, bool]], bins: int) -> None:
    """Confidences away from the edges of the bins, where rounding decides."""
    rows = [(c, ok) for c, ok in rows if abs(c * bins - round(c * bins)) > 1e-6 or c in (0.0, 1.0)] or [(1.0, True)]
    confidence, correct = np.array([c for c, _ in rows]), np.array([ok for _, ok in rows])
    found = expected_calibration_error(confidence, correct, bins)
    assert found == pytest.approx(_brute_force_ece(confidence, correct, bins), abs=1e-12)
    assert 0 <= found <= 1


def test_certain_and_right_is_perfectly_calibrated() -> None:
    """Confidence 1 falls into the last bin, confidence 0 into the first."""
    assert expected_calibration_error(np.ones(5), np.ones(5, dtype=bool), 15) == 0.0
    assert expected_calibration_error(np.zeros(5), np.zeros(5, dtype=bool), 15) == 0.0


def test_nll_by_hand() -> None:
    """Probabilities 3/4 and 1/2 for the labels."""
    logits = np.array([[math.log(3), 0.0], [2.0, 2.0]], dtype=np.float32)
    expected = (math.log(4 / 3) + math.log(2)) / 2
    assert negative_log_likelihood(logits, np.array([0, 1])) == pytest.approx(expected, abs=1e-7)


def test_brier_by_hand() -> None:
    """(3/4, 1/4) with label 0: 1/16 + 1/16; the worst there is: 2."""
    assert brier_score(np.array([[math.log(3), 0.0]]), np.array([0])) == pytest.approx(1 / 8)
    assert brier_score(np.array([[100.0, 0.0]]), np.array([1])) == pytest.approx(2.0)


@given(st.integers(0, 1000), st.integers(2, 5), st.floats(-50, 50))
def test_scores_match_sklearn_and_ignore_a_constant(seed: int, classes: int, shift: float) -> None:
    """Log loss and the binary Brier score (which sklearn does not sum over both classes)."""
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 3, size=(12, classes)), rng.integers(classes, size=12)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = log_loss(labels, p, labels=range(classes))
    assert negative_log_likelihood(logits + shift, labels) == pytest.approx(expected, rel=1e-9)
    direct = np.mean([(p[i] ** 2).sum() - 2 * p[i, label] + 1 for i, label in enumerate(labels)])
    assert brier_score(logits + shift, labels) == pytest.approx(direct, abs=1e-12)
    if classes == 2:
        assert brier_score(logits, labels) == pytest.approx(2 * brier_score_loss(labels, p[:, 1]), abs=1e-12)


def test_hopeless_logits_stay_finite() -> None:
    """A probability that underflows has a large but finite loss."""
    logits = np.array([[1e4, 0.0]], dtype=np.float32)
    assert negative_log_likelihood(logits, np.array([1])) == pytest.approx(1e4)
