"""What a model's logits on one set come to: predictions, per-example outcomes and metrics, for every kind of task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kdbench.inputs.base import Encoded
from kdbench.inputs.spans import EncodedSpans
from kdbench.predictions.base import Predictions
from kdbench.predictions.labels import LabelPredictions, own_classes
from kdbench.predictions.spans import SpanPredictions
from kdbench.tasks.dataset import Examples, SpanExamples
from kdbench.tasks.spec import SpanFormat

__all__ = ["LabelPredictions", "Predictions", "SpanPredictions", "read_predictions"]


def read_predictions(
    task: Mapping[str, Any],
    examples: Examples,
    data: Encoded,
    logits: np.ndarray,
    dataset: Mapping[str, Any] | None = None,
) -> Predictions:
    """Predictions from logits.

    Args:
        task: the view of a task in a spec.
        examples: the set.
        data: the same, as the model read it.
        logits: as :func:`kdbench.training.predict.predict` gives them.
        dataset: the view of a set with classes of its own, which predictions are translated to.
    """
    if isinstance(examples, SpanExamples):
        assert isinstance(data, EncodedSpans)
        return SpanPredictions.read(examples, data, logits, SpanFormat.model_validate(task["spans"]))
    if task["kind"] == "text-regression":
        return LabelPredictions(examples, logits[:, 0])
    predicted = logits.argmax(-1)
    if dataset is not None:
        predicted = own_classes(dataset, task["labels"])[predicted]
    return LabelPredictions(examples, predicted)
