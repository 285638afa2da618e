"""Predicted classes and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kdbench.tasks.dataset import Examples
from kdbench.tasks.metrics import compute_metric


@dataclass(frozen=True)
class LabelPredictions:
    """One label for each example.

    Attributes:
        predicted: ``(n,)`` class indices, or scores for regression.
    """

    examples: Examples
    predicted: np.ndarray

    def score(self, metric: str, rows: np.ndarray | None = None) -> float:
        """One of :data:`kdbench.tasks.metrics.METRICS`."""
        chosen = slice(None) if rows is None else rows
        return compute_metric(metric, self.predicted[chosen], self.examples.labels[chosen])

    def table(self) -> pd.DataFrame:
        """``id``, ``label``, ``prediction``."""
        return pd.DataFrame({"id": self.examples.ids, "label": self.examples.labels, "prediction": self.predicted})


def own_classes(dataset: Mapping[str, Any], task_labels: Sequence[str]) -> np.ndarray:
    """Task class index -> index of the set's own class."""
    own = dataset["labels"] or task_labels
    return np.array([own.index(dataset["prediction_map"].get(name, name)) for name in task_labels])
