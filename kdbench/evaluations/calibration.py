"""The ``calibration`` evaluation: are the student's probabilities to be believed? No forward pass."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from kdbench.cells.job import CellResult, Job
from kdbench.evaluations.outcomes import read_logits
from kdbench.stats.calibration import brier_score, expected_calibration_error, negative_log_likelihood


def run(job: Job) -> CellResult:
    """ECE, NLL and Brier score, from the logits that the in-domain evaluation kept."""
    table, logits = read_logits(job.upstream("model"))
    labels = table["label"].to_numpy()
    probabilities = softmax(logits.astype(np.float64), axis=-1)
    confidence = probabilities.max(-1)
    correct = logits.argmax(-1) == labels
    table = table[["id"]].assign(confidence=confidence, correct=correct)
    table.to_parquet(job.out / "examples.parquet")
    return CellResult(
        metrics={
            "ece": expected_calibration_error(confidence, correct, job.spec["bins"]),
            "nll": negative_log_likelihood(logits, labels),
            "brier": brier_score(logits, labels),
        },
        details={"examples": len(table)},
    )
