"""Metrics as functions of per-example means, so that a bootstrap needs sums only and no loop over resamples."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def outcome_column(metric: str) -> str:
    """The column of per-example outcomes that a metric is made of, see :func:`metric_terms`."""
    return next((name for name in ("exact_match", "token_f1") if metric.endswith(name)), "prediction")


def metric_terms(metric: str, predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What one example adds to the sums that a metric is made of.

    Args:
        metric: one of :data:`kdbench.tasks.metrics.METRICS` or :data:`kdbench.answers.metrics.METRICS`.
        predictions: ``(…, n)`` class indices, or scores for the correlations, or how right each answer is; of several
            models at once, so that they have the same terms.
        labels: ``(n,)``; 1 or 0 for questions with and without an answer.

    Returns:
        ``(…, n, terms)`` float64. Spearman's ranks are those of the whole set: a resample does not rank anew.

    Raises:
        ValueError: unknown metric.
    """
    match metric:
        case "accuracy":
            terms = [predictions == labels]
        case "f1":
            positive, predicted = labels == 1, predictions == 1
            terms = [positive & predicted, np.broadcast_to(positive, predicted.shape), predicted]
        case "matthews":
            true = np.broadcast_to(labels, predictions.shape)
            classes = np.union1d(predictions, labels)
            terms = [predictions == labels, *(predictions == c for c in classes), *(true == c for c in classes)]
        case "pearson" | "spearman":
            x, y = predictions.astype(np.float64), labels.astype(np.float64)
            if metric == "spearman":
                x, y = rankdata(x, axis=-1), rankdata(y)
            y = np.broadcast_to(y, x.shape)
            x, y = x - x.mean(-1, keepdims=True), y - y.mean()  # the same correlation, without cancellation
            terms = [x, y, x * x, y * y, x * y]
        case "exact_match" | "token_f1":
            terms = [predictions]
        case "hasans_exact_match" | "hasans_token_f1" | "noans_exact_match":
            counted = np.broadcast_to(labels == metric.startswith("hasans"), predictions.shape)
            terms = [predictions * counted, counted]
        case _:
            raise ValueError(f"unknown metric '{metric}'")
    return np.stack(terms, axis=-1).astype(np.float64)


def metric_of_means(metric: str, means: np.ndarray) -> np.ndarray:
    """The metric from means of its terms, ``(…, terms)`` to ``(…)``; 0 where it is not defined.

    Raises:
        ValueError: unknown metric.
    """
    match metric:
        case "accuracy" | "exact_match" | "token_f1":
            return np.asarray(means[..., 0])
        case "hasans_exact_match" | "hasans_token_f1" | "noans_exact_match":
            return _ratio(means[..., 0], means[..., 1])
        case "f1":
            both, positive, predicted = np.moveaxis(means, -1, 0)
            return _ratio(2 * both, positive + predicted)
        case "matthews":  # Gorodkin's R_K (2004), which for two classes is Matthews' coefficient
            predicted, true = np.split(means[..., 1:], 2, axis=-1)
            covariance = means[..., 0] - (predicted * true).sum(-1)
            spread = (1 - (predicted**2).sum(-1)) * (1 - (true**2).sum(-1))
            return _ratio(covariance, np.sqrt(np.maximum(spread, 0)))
        case "pearson" | "spearman":
            x, y, xx, yy, xy = np.moveaxis(means, -1, 0)
            spread = np.maximum(xx - x * x, 0) * np.maximum(yy - y * y, 0)
            return _ratio(xy - x * y, np.sqrt(spread))
    raise ValueError(f"unknown metric '{metric}'")


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    defined = denominator > 1e-15
    return np.where(defined, numerator / np.where(defined, denominator, 1), 0.0)
