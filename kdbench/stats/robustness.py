"""What is lost away from the training distribution, and under attack, as pure functions."""

from __future__ import annotations

import math

import numpy as np


def relative_drop(student: tuple[float, float], teacher: tuple[float, float]) -> float:
    """The student's loss from in-domain to out-of-domain as a multiple of the teacher's.

    After the relative bias of Du et al. (arXiv:2110.08419), who compare the gap of a compressed model with that of the
    model it was made from.

    Args:
        student, teacher: score in-domain and out-of-domain, in the same metric.

    Returns:
        Below 1: more robust than the teacher; negative: better out of domain than in it. NaN where the teacher loses
        nothing, since there is nothing to compare with.
    """
    lost = teacher[0] - teacher[1]
    return (student[0] - student[1]) / lost if lost > 0 else math.nan


def security_curve(broken_at: np.ndarray, budgets: np.ndarray) -> np.ndarray:
    """Share of examples that survive each budget; it never rises with the budget.

    Args:
        broken_at: ``(n,)`` the budget at which each example was lost: 0 when it was wrong before the attack, infinity
            when it never was.
        budgets: ``(k,)``.

    Returns:
        ``(k,)``.
    """
    lost = np.searchsorted(np.sort(broken_at), budgets, side="right")
    return np.asarray(1 - lost / len(broken_at))
