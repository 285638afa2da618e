"""Relative drops by hand, security curves by counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdbench.stats.robustness import relative_drop, security_curve

TEACHER = (0.9, 0.7)


@pytest.mark.parametrize(
    ("student", "expected"),
    [((0.9, 0.7), 1), ((0.8, 0.4), 2), ((0.8, 0.75), 0.25), ((0.6, 0.6), 0), ((0.6, 0.7), -0.5)],
)
def test_a_drop_is_a_multiple_of_the_teachers(student: tuple[float, float], expected: float) -> None:
    assert relative_drop(student, TEACHER) == pytest.approx(expected)


@pytest.mark.parametrize("teacher", [(0.7, 0.7), (0.7, 0.8)])
def test_a_teacher_that_loses_nothing_is_no_measure(teacher: tuple[float, float]) -> None:
    assert math.isnan(relative_drop((0.8, 0.6), teacher))


budgets = st.lists(st.integers(0, 12), min_size=1, max_size=8)


@given(st.lists(st.sampled_from([0, 1, 2, 5, 10, math.inf]), min_size=1, max_size=40), budgets)
def test_a_curve_counts_who_is_left(broken_at: list[float], budget: list[int]) -> None:
    """Lost at 5 queries is lost with a budget of 5. The curve starts at the clean accuracy and never rises."""
    found = security_curve(np.array(broken_at), np.array(budget))
    assert found == pytest.approx([sum(at > allowed for at in broken_at) / len(broken_at) for allowed in budget])
    ordered = security_curve(np.array(broken_at), np.arange(13))
    assert (np.diff(ordered) <= 0).all()
    assert ordered[0] == pytest.approx(1 - broken_at.count(0) / len(broken_at))
    assert ordered[-1] == pytest.approx(broken_at.count(math.inf) / len(broken_at))


def test_budgets_need_not_be_counts() -> None:
    """Epsilon, or a share of words."""
    curve = security_curve(np.array([0, 0.01, 0.03, np.inf]), np.array([0, 0.0099, 0.01, 1]))
    assert curve.tolist() == [0.75, 0.75, 0.5, 0.25]
