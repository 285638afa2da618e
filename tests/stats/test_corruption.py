"""Corruption accuracy and error against cases computed by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdbench.stats.corruption import mean_corruption_accuracy, mean_corruption_error

REFERENCE = {"fog": {"1": 0.9, "5": 0.7}, "snow": {"1": 0.8, "5": 0.2}}
MODEL = {"fog": {"1": 0.9, "5": 0.9}, "snow": {"1": 0.6, "5": 0.2}}

accuracies = st.dictionaries(st.sampled_from(["1", "2", "3", "4", "5"]), st.floats(0, 0.99), min_size=1)
tables = st.dictionaries(st.sampled_from(["fog", "snow", "frost"]), accuracies, min_size=1)


def test_by_hand() -> None:
    """Fog: 0.2 of 0.4 errors; snow: 1.2 of 1.0: the mean of 0.5 and 1.2, and not 1.4 of 1.4."""
    assert mean_corruption_accuracy(MODEL) == pytest.approx((0.9 + 0.4) / 2)
    assert mean_corruption_error(MODEL, REFERENCE) == pytest.approx(0.85)


def test_every_corruption_weighs_the_same_whatever_its_severities() -> None:
    assert mean_corruption_accuracy({"fog": {"1": 1.0}, "snow": {"1": 0.0, "2": 0.0, "3": 0.0}}) == 0.5


@given(tables)
def test_a_model_is_as_robust_as_itself_and_twice_the_errors_are_2(table: dict[str, dict[str, float]]) -> None:
    assert mean_corruption_error(table, table) == pytest.approx(1)
    worse = {name: {key: 1 - 2 * (1 - value) for key, value in row.items()} for name, row in table.items()}
    assert mean_corruption_error(worse, table) == pytest.approx(2)


def test_what_the_reference_never_fails_on_is_left_out() -> None:
    perfect = {**REFERENCE, "fog": {"1": 1.0, "5": 1.0}}
    assert mean_corruption_error(MODEL, perfect) == pytest.approx(1.2)
    assert mean_corruption_error(REFERENCE, perfect) == pytest.approx(1.0)
    never = {name: dict.fromkeys(row, 1.0) for name, row in REFERENCE.items()}
    assert math.isnan(mean_corruption_error(MODEL, never))


@pytest.mark.parametrize("other", [{}, {"fog": MODEL["fog"]}, {**MODEL, "snow": {"1": 0.6}}])
def test_unlike_tables_are_refused(other: dict[str, dict[str, float]]) -> None:
    with pytest.raises(ValueError, match="same corruptions and severities"):
        mean_corruption_error(other, REFERENCE)
    with pytest.raises(ValueError, match="same corruptions and severities"):
        mean_corruption_error({}, {})


@pytest.mark.parametrize("table", [{}, {"fog": {}}])
def test_nothing_has_no_mean(table: dict[str, dict[str, float]]) -> None:
    with pytest.raises(ValueError, match="needs a corruption"):
        mean_corruption_accuracy(table)
