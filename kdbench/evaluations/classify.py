"""Shared by in-domain and out-of-domain evaluation: predict one set, keep every example's outcome."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kdbench.cells.common import pick_device
from kdbench.cells.data import load_examples, load_trained
from kdbench.cells.job import CellResult, Job
from kdbench.tasks.metrics import compute_metric
from kdbench.training.predict import predict, to_predictions

EXAMPLES_FILE = "examples.parquet"


def evaluate_dataset(job: Job) -> CellResult:
    """Metrics on one set, and ``examples.parquet``: id, label, prediction, logits, group of every row.

    ``prediction`` and ``label`` are in the set's own classes; logits are in the task's.
    """
    spec, task = job.spec, job.spec["task"]
    model, reader = load_trained(job.upstream("model"), task)
    examples = load_examples(job, spec["dataset"], task).sample(spec["limit"], "evaluation-limit")
    logits = predict(model.to(pick_device(job)), reader.encode(examples))
    regression = task["kind"] == "text-regression"
    predictions = to_predictions(logits, regression)
    if not regression:
        predictions = own_classes(spec["dataset"], task["labels"])[predictions]
    table = pd.DataFrame({"id": examples.ids, "label": examples.labels, "prediction": predictions})
    for index in range(logits.shape[1]):
        table[f"logit_{index}"] = logits[:, index]
    if examples.groups is not None:
        table["group"] = examples.groups
    table.to_parquet(job.out / EXAMPLES_FILE)
    metrics = {name: compute_metric(name, predictions, examples.labels) for name in spec["metrics"]}
    return CellResult(
        metrics=metrics,
        details={"examples": len(examples), "groups": _by_group(table, spec["metrics"][0])},
        cost={"forward_examples": len(examples)},
    )


def own_classes(dataset: dict[str, Any], task_labels: list[str]) -> np.ndarray:
    """Task class index -> index of the set's own class."""
    own = dataset["labels"] or task_labels
    return np.array([own.index(dataset["prediction_map"].get(name, name)) for name in task_labels])


def _by_group(table: pd.DataFrame, metric: str) -> dict[str, dict[str, float]]:
    if "group" not in table:
        return {}
    return {
        str(name): {
            metric: compute_metric(metric, part["prediction"].to_numpy(), part["label"].to_numpy()),
            "examples": float(len(part)),
        }
        for name, part in table.groupby("group", sort=True)
    }
