"""The ``calibration`` evaluation: are the student's probabilities to be believed? No forward pass."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import softmax

from kdbench.cells.job import CellResult, Job
from kdbench.evaluations.outcomes import read_logits
from kdbench.record import EXAMPLES_FILE
from kdbench.stats.calibration import brier_score, expected_calibration_error, negative_log_likelihood


def run(job: Job) -> CellResult:
    """ECE, NLL and Brier score, from what the in-domain evaluation kept.

    Of answers: ECE and Brier score of the event that the prediction is an exact match, whose probability is that of
    the predicted span among all spans. There is no NLL: references need not be spans that can be predicted.
    """
    answers = job.spec["task"]["kind"] == "question-answering"
    table, metrics = _of_answers(job) if answers else _of_classes(job)
    confidence, correct = table["confidence"].to_numpy(), table["correct"].to_numpy()
    metrics = {"ece": expected_calibration_error(confidence, correct, job.spec["bins"]), **metrics}
    table.to_parquet(job.out / EXAMPLES_FILE)
    return CellResult(metrics=metrics, details={"examples": len(table)})


def _of_classes(job: Job) -> tuple[pd.DataFrame, dict[str, float]]:
    table, logits = read_logits(job.upstream("model"))
    labels = table["label"].to_numpy()
    probabilities = softmax(logits.astype(np.float64), axis=-1)
    table = table[["id"]].assign(confidence=probabilities.max(-1), correct=logits.argmax(-1) == labels)
    return table, {"nll": negative_log_likelihood(logits, labels), "brier": brier_score(logits, labels)}


def _of_answers(job: Job) -> tuple[pd.DataFrame, dict[str, float]]:
    table = pd.read_parquet(job.upstream("model") / EXAMPLES_FILE, columns=["id", "confidence", "exact_match"])
    correct = table["exact_match"] == 1
    table = table[["id", "confidence"]].assign(correct=correct)
    return table, {"brier": float(((table["confidence"] - correct) ** 2).mean())}
