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

    return TrainingData(reader.encode(train), encoded, metric, score, task["kind"] == "text-regression")
