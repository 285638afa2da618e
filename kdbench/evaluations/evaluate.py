"""Shared by in-domain and out-of-domain evaluation: predict one set, keep every example's outcome."""

from __future__ import annotations

import numpy as np

from kdbench.cells.common import pick_device
from kdbench.cells.data import load_examples, load_trained
from kdbench.cells.job import CellResult, Job
from kdbench.evaluations.outcomes import write_outcomes
from kdbench.predictions import Predictions, read_predictions
from kdbench.training.predict import predict


def evaluate_dataset(job: Job) -> CellResult:
    """Metrics on one set, and ``examples.parquet``: id, label, prediction, group of every row, and its logits.

    ``prediction`` and ``label`` are in the set's own classes; logits are in the task's.
    """
    spec, task = job.spec, job.spec["task"]
    model, reader = load_trained(job)
    examples = load_examples(job, spec["dataset"], task).sample(spec["limit"], "evaluation-limit")
    data = reader.encode(examples)
    logits = predict(model.to(pick_device(job)), data)
    predictions = read_predictions(task, examples, data, logits, spec["dataset"])
    compared = spec["evaluation"] == "in_domain"
    write_outcomes(job.out, predictions, data, logits, examples.groups, compared=compared)
    return CellResult(
        metrics={name: predictions.score(name) for name in spec["metrics"]},
        details={
            "examples": len(examples),
            "groups": _by_group(predictions, examples.groups, spec["metrics"][0]),
        },
        cost={"forward_examples": len(examples)},
    )


def _by_group(predictions: Predictions, groups: list[str] | None, metric: str) -> dict[str, dict[str, float]]:
    if groups is None:
        return {}
    members = {name: np.flatnonzero(np.array(groups) == name) for name in sorted(set(groups))}
    return {
        name: {metric: predictions.score(metric, rows), "examples": float(len(rows))} for name, rows in members.items()
    }
