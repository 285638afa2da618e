"""Accuracy and error over corruptions and severities (Hendrycks & Dietterich, ICLR 2019), as pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

AccuracyTable = Mapping[str, Mapping[str, float]]
"""Corruption -> severity -> accuracy in [0, 1]."""


def mean_corruption_accuracy(table: AccuracyTable) -> float:
    """Mean over corruptions of the mean over severities.

    Raises:
        ValueError: the table, or one of its corruptions, is empty.
    """
    if not table or not all(table.values()):
        raise ValueError("a table of accuracies under corruption needs a corruption, and each a severity")
    return statistics.fmean(statistics.fmean(row.values()) for row in table.values())


def mean_corruption_error(model: AccuracyTable, reference: AccuracyTable) -> float:
    """mCE: mean over corruptions ``c`` of ``CE_c = Σ_s error(model, c, s) / Σ_s error(reference, c, s)`` (section 4.2).

    1 is as robust as the reference, less is better. A corruption that the reference never fails on has
    no ratio and is left out; since that depends on the reference alone, all models that are compared
    with it are compared on the same corruptions.

    Args:
        model: accuracies of the model that is judged.
        reference: accuracies of the model in AlexNet's place, on the same images.

    Returns:
        The mean ratio, or NaN when the reference never fails at all.

    Raises:
        ValueError: the tables are empty, or not of the same corruptions and severities.
    """
    if not reference or _shape(model) != _shape(reference):
        raise ValueError("mCE compares two tables of the same corruptions and severities")
    errors = [(_error(model[name]), _error(row)) for name, row in reference.items()]
    ratios = [own / other for own, other in errors if other > 0]
    return statistics.fmean(ratios) if ratios else math.nan


def _shape(table: AccuracyTable) -> dict[str, set[str]]:
    return {name: set(row) for name, row in table.items()}


def _error(row: Mapping[str, float]) -> float:
    return math.fsum(1 - accuracy for accuracy in row.values())
