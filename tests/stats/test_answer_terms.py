"""Answer metrics from means of terms are the metrics themselves, on the whole set and on every resample."""

from __future__ import annotations

import numpy as np
import pytest

from kdbench.answers.metrics import METRICS, compute_answer_metric
from kdbench.stats.sufficient import metric_of_means, metric_terms, outcome_column


@pytest.mark.parametrize("metric", METRICS)
def test_equals_the_metric(metric: str) -> None:
    """Of several models at once, and on resamples in which other questions have answers."""
    rng = np.random.default_rng(1)
    f1 = np.where(rng.random((3, 50)) < 0.4, 1.0, rng.random((3, 50)))
    exact, answerable = (f1 == 1).astype(float), rng.random(50) < 0.7
    outcomes = {"exact_match": exact, "token_f1": f1}[outcome_column(metric)]
    terms = metric_terms(metric, outcomes, answerable.astype(np.int64))
    for rows in (np.arange(50), *rng.integers(0, 50, (10, 50))):
        expected = [compute_answer_metric(metric, exact[m, rows], f1[m, rows], answerable[rows]) for m in range(3)]
        assert metric_of_means(metric, terms[:, rows].mean(1)) == pytest.approx(expected)


def test_which_outcomes_a_metric_is_made_of() -> None:
    """Everything else is made of predictions."""
    assert outcome_column("hasans_token_f1") == "token_f1" and outcome_column("noans_exact_match") == "exact_match"
    assert outcome_column("f1") == outcome_column("accuracy") == "prediction"
