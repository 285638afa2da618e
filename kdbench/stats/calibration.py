"""Calibration of class probabilities, as pure functions of arrays."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """Σ_b n_b/n · |accuracy_b - confidence_b| over equal-width bins (Guo et al., ICML 2017).

    Args:
        confidence: ``(n,)`` probability of the predicted class, in [0, 1].
        correct: ``(n,)`` booleans.
        bins: number of bins; bin b holds confidences in (b/bins, (b+1)/bins].
    """
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(index, weights=correct.astype(float) - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean -log p(label), in nats. ``logits`` ``(n, classes)``, ``labels`` ``(n,)``."""
    log_p = log_softmax(logits.astype(np.float64), axis=-1)
    return float(-log_p[np.arange(len(labels)), labels].mean())


def brier_score(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean squared distance between probabilities and the one-hot label, summed over classes (0 to 2)."""
    p = np.exp(log_softmax(logits.astype(np.float64), axis=-1))
    p[np.arange(len(labels)), labels] -= 1
    return float((p**2).sum(-1).mean())
