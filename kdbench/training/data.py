"""A training and a selection split, made ready for the trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kdbench.inputs.base import Reader
from kdbench.predictions import read_predictions
from kdbench.tasks.dataset import Examples
from kdbench.training.state import TrainingData


def training_data(
    task: Mapping[str, Any], metric: str, train: Examples, selection: Examples, reader: Reader
) -> TrainingData:
    """Encode both splits.

    Args:
        task: the view of a task in a spec.
        metric: of the selection.
    """
    encoded = reader.encode(selection)

    def score(logits: np.ndarray) -> float:
        return read_predictions(task, selection, encoded, logits).score(metric)

    regression = task["kind"] == "text-regression"
    return TrainingData(reader.encode(train), encoded, metric, score, regression, _chance(metric, task, selection))


def _chance(metric: str, task: Mapping[str, Any], selection: Examples) -> float | None:
    """1/classes of accuracy, nothing of a class's F1, 0 of correlations; of answers, what saying none at all brings."""
    match metric:
        case "accuracy":
            return 1 / len(task["labels"])
        case "f1":
            return None
        case "token_f1" | "exact_match":
            return float(np.mean(selection.labels == 0)) if task["spans"]["unanswerable"] else 0.0
        case "noans_exact_match":
            return 1.0
    return 0.0
