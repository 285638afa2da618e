"""McNemar's exact test against scipy, statsmodels and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar

from kdbench.stats.paired import mcnemar_exact


def outcomes(only_first: int, only_second: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([True, False, True], [only_first, only_second, both])
    second = np.repeat([False, True, True], [only_first, only_second, both])
    return first, second


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 20))
def test_is_a_binomial_test_of_the_discordant(b: int, c: int, both: int) -> None:
    """As scipy and statsmodels compute it; 1 when the models never differ; symmetric."""
    first, second = outcomes(b, c, both)
    p = mcnemar_exact(first, second)
    assert p == pytest.approx(binomtest(b, b + c, 0.5).pvalue if b + c else 1.0)
    assert p == pytest.approx(mcnemar([[both, b], [c, 3]], exact=True).pvalue if b + c else 1.0)
    assert p == mcnemar_exact(second, first)


def test_by_hand() -> None:
    """One against nine: 2·(1 + 10)/1024."""
    assert mcnemar_exact(*outcomes(1, 9, 50)) == pytest.approx(22 / 1024)
