"""Holm's correction against statsmodels and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from kdbench.stats.multiple import holm

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 45])
def test_equals_statsmodels(count: int) -> None:
    """Small p-values and large ones, some of them equal."""
    p = np.random.default_rng(count).random(count).round(1) ** 4
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


@given(probabilities)
def test_keeps_the_order_and_never_lowers_a_p_value(p: list[float]) -> None:
    values = np.array(p)
    adjusted = holm(values)
    assert ((values <= adjusted) & (adjusted <= 1)).all()
    assert (np.diff(adjusted[np.argsort(values, kind="stable")]) >= 0).all()


def test_by_hand() -> None:
    """0.01·3, then 0.02·2, then 0.03·1, which may not fall below the one before."""
    assert holm(np.array([0.03, 0.01, 0.02])) == pytest.approx([0.04, 0.03, 0.04])


def test_nan_is_no_test() -> None:
    """It stays, and the others are corrected for how many they are; shapes are kept."""
    assert holm(np.array([[0.01, np.nan], [np.nan, 0.04]])) == pytest.approx(
        np.array([[0.02, np.nan], [np.nan, 0.04]]), nan_ok=True
    )
    assert np.isnan(holm(np.full(3, np.nan))).all()
    assert holm(np.array([])).shape == (0,)
