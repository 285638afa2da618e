"""The official metrics, by name, on predictions and labels."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import stats
from sklearn.metrics import f1_score, matthews_corrcoef

METRICS = ("accuracy", "f1", "matthews", "pearson", "spearman")


def compute_metric(name: str, predictions: np.ndarray, labels: np.ndarray) -> float:
    """One metric.

    Args:
        name: one of ``METRICS``; ``f1`` is that of class 1, as in MRPC and QQP.
        predictions: ``(n,)`` class indices, or scores for the correlations.
        labels: ``(n,)``.

    Returns:
        The value; correlations of a constant are 0.

    Raises:
        ValueError: unknown name.
    """
    match name:
        case "accuracy":
            return float(np.mean(predictions == labels))
        case "f1":
            return float(f1_score(labels, predictions, pos_label=1, average="binary", zero_division=0.0))
        case "matthews":
            return float(matthews_corrcoef(labels, predictions))
        case "pearson" | "spearman":
            function = stats.pearsonr if name == "pearson" else stats.spearmanr
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", stats.ConstantInputWarning)
                value = float(function(predictions.astype(np.float64), labels.astype(np.float64)).statistic)
            return value if np.isfinite(value) else 0.0
    raise ValueError(f"unknown metric '{name}'")
