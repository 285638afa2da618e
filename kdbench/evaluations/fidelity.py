"""The ``fidelity`` evaluation: how much of the teacher is in the student? No forward pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import log_softmax
from scipy.stats import pearsonr

from kdbench.answers.metrics import answer_scores
from kdbench.cells.job import CellResult, Job
from kdbench.errors import StoreError
from kdbench.evaluations.outcomes import read_logits, read_span_logits
from kdbench.record import EXAMPLES_FILE


def run(job: Job) -> CellResult:
    """Agreement of predictions and mean KL(teacher ‖ student), on the reported split.

    For regression: Pearson correlation and mean squared difference of the two models' scores. For answers: how often
    both predict the same span, the token F1 between what they predict, and the KL between their distributions of
    starts and ends, mean of both, over the windows of a question.
    """
    kind = job.spec["task"]["kind"]
    reader = read_span_logits if kind == "question-answering" else read_logits
    student, teacher = (reader(job.upstream(role)) for role in ("model", "teacher"))
    ids = student[0]["id"]
    if list(ids) != list(teacher[0]["id"]):
        raise StoreError("fidelity: student and teacher were not evaluated on the same examples")
    table, metrics = _COMPARISONS.get(kind, _of_classes)(student, teacher)
    table.insert(0, "id", ids)
    table.to_parquet(job.out / EXAMPLES_FILE)
    return CellResult(metrics=metrics, details={"examples": len(table)})


Evaluated = tuple[pd.DataFrame, Any]
Compared = tuple[pd.DataFrame, dict[str, float]]


def _of_scores(student: Evaluated, teacher: Evaluated) -> Compared:
    mine, theirs = student[1][:, 0], teacher[1][:, 0]
    difference = ((mine - theirs) ** 2).astype(np.float64)
    constant = np.ptp(mine) == 0 or np.ptp(theirs) == 0
    correlation = 0.0 if constant else float(pearsonr(mine, theirs).statistic)
    metrics = {"agreement": correlation, "squared_difference": float(difference.mean())}
    return pd.DataFrame({"squared_difference": difference}), metrics


def _of_classes(student: Evaluated, teacher: Evaluated) -> Compared:
    log_q, log_p = (log_softmax(logits.astype(np.float64), axis=-1) for _, logits in (student, teacher))
    divergence = (np.exp(log_p) * (log_p - log_q)).sum(-1)
    agree = student[1].argmax(-1) == teacher[1].argmax(-1)
    metrics = {"agreement": float(agree.mean()), "kl": float(divergence.mean())}
    return pd.DataFrame({"agree": agree, "kl": divergence}), metrics


def _of_answers(student: Evaluated, teacher: Evaluated) -> Compared:
    (mine, windows), (theirs, reference) = student, teacher
    if not np.array_equal(windows["starts"], reference["starts"]):
        raise StoreError("fidelity: student and teacher did not read the same windows")
    agree = ((mine["start"] == theirs["start"]) & (mine["end"] == theirs["end"])).to_numpy()
    overlap = answer_scores(list(mine["prediction"]), [(text,) if text else () for text in theirs["prediction"]])[1]
    first, examples = windows["starts"][:-1], windows["examples"]
    log_q, log_p = (_log_softmax_of_parts(logits, first) for logits in (windows["logits"], reference["logits"]))
    by_window = np.add.reduceat(np.exp(log_p) * (log_p - log_q), first).mean(-1)
    divergence = np.bincount(examples, by_window) / np.bincount(examples)
    table = pd.DataFrame({"agree": agree, "overlap": overlap, "kl": divergence})
    return table, {"agreement": float(agree.mean()), "overlap": float(overlap.mean()), "kl": float(divergence.mean())}


def _log_softmax_of_parts(logits: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Log-softmax over each part of ``(total, 2)`` logits; part ``w`` begins at ``first[w]``."""
    values: np.ndarray = logits.astype(np.float64)
    lengths = np.diff(np.append(first, len(values)))
    values -= np.repeat(np.maximum.reduceat(values, first), lengths, axis=0)
    values -= np.repeat(np.log(np.add.reduceat(np.exp(values), first)), lengths, axis=0)
    return values


_COMPARISONS = {"text-regression": _of_scores, "question-answering": _of_answers}
