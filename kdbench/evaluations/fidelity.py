"""The ``fidelity`` evaluation: how much of the teacher is in the student? No forward pass."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax
from scipy.stats import pearsonr

from kdbench.cells.job import CellResult, Job
from kdbench.errors import StoreError
from kdbench.evaluations.outcomes import read_logits


def run(job: Job) -> CellResult:
    """Agreement of predictions and mean KL(teacher ‖ student), on the reported split.

    For regression: Pearson correlation and mean squared difference of the two models' scores.
    """
    table, student = read_logits(job.upstream("model"))
    reference, teacher = read_logits(job.upstream("teacher"))
    if list(table["id"]) != list(reference["id"]):
        raise StoreError("fidelity: student and teacher were not evaluated on the same examples")
    if job.spec["task"]["kind"] == "text-regression":
        difference = ((student - teacher) ** 2)[:, 0].astype(np.float64)
        table[["id"]].assign(squared_difference=difference).to_parquet(job.out / "examples.parquet")
        constant = np.ptp(student) == 0 or np.ptp(teacher) == 0
        correlation = 0.0 if constant else float(pearsonr(student[:, 0], teacher[:, 0]).statistic)
        metrics = {"agreement": correlation, "squared_difference": float(difference.mean())}
    else:
        log_p = log_softmax(teacher.astype(np.float64), axis=-1)
        log_q = log_softmax(student.astype(np.float64), axis=-1)
        divergence = (np.exp(log_p) * (log_p - log_q)).sum(-1)
        agree = student.argmax(-1) == teacher.argmax(-1)
        table[["id"]].assign(agree=agree, kl=divergence).to_parquet(job.out / "examples.parquet")
        metrics = {"agreement": float(agree.mean()), "kl": float(divergence.mean())}
    return CellResult(metrics=metrics, details={"examples": len(table)})
