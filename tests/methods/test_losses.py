"""Losses against numbers worked out by hand, formulas written in numpy and scipy, and laws."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax, softmax
from torch import Tensor

from kdbench.methods import losses

Loss = Callable[[Tensor, Tensor], Tensor]

AGAINST_TEACHER: dict[str, Loss] = {
    "mse": losses.mse,
    "kl": losses.kl_divergence,
    "kl at T 3": lambda s, t: losses.kl_divergence(s, t, 3.0),
    "soft CE": losses.soft_cross_entropy,
    "hinge": lambda s, t: losses.hinged_squared_distance(s, t, 0.5),
}
SOFTMAX_BASED = ("kl", "kl at T 3", "soft CE")

_values = st.floats(-8, 8, width=32)
_sizes = st.tuples(st.integers(1, 6), st.integers(2, 5))


@st.composite
def logit_pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Student and teacher logits of one shape, in float64."""
    shape = draw(_sizes)
    student, teacher = (draw(hnp.arrays(np.float64, shape, elements=_values)) for _ in range(2))
    return torch.from_numpy(student), torch.from_numpy(teacher)


def test_cross_entropy_by_hand() -> None:
    """Odds of 3 : 1 for the right class of row 1, of 1 : 1 in row 2."""
    logits = torch.tensor([[math.log(3.0), 0.0], [5.0, 5.0]])
    expected = (-math.log(3 / 4) - math.log(1 / 2)) / 2
    assert losses.cross_entropy(logits, torch.tensor([0, 1])).item() == pytest.approx(expected, abs=1e-6)


def test_label_smoothing_spreads_mass_over_all_classes_the_right_one_included() -> None:
    """y' = (1-s)·y + s/C."""
    rng = np.random.default_rng(0)
    logits, labels, smoothing = rng.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0]), 0.1
    target = np.full((5, 3), smoothing / 3)
    target[np.arange(5), labels] += 1 - smoothing
    expected = -(target * log_softmax(logits, axis=1)).sum(1).mean()
    found = losses.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels), smoothing)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_mse_is_the_mean_over_batch_and_classes() -> None:
    """Squares 1, 4, 9, 0, 0, 4 over two rows of three classes: 18 / 6, not 18 / 2."""
    student = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 2.0]])
    assert losses.mse(student, torch.zeros(2, 3)).item() == 3.0


def test_kl_is_of_the_student_from_the_teacher_and_batchmean() -> None:
    """KL(pT ‖ pS) with pT = (3/4, 1/4), pS = (1/2, 1/2), the same in both rows: not halved by the two classes."""
    teacher = torch.tensor([[math.log(3.0), 0.0]] * 2)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert losses.kl_divergence(torch.zeros(2, 2), teacher).item() == pytest.approx(expected, abs=1e-7)
    reverse = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert losses.kl_divergence(teacher, torch.zeros(2, 2)).item() == pytest.approx(reverse, abs=1e-7)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.0])
def test_kl_and_soft_cross_entropy_match_scipy(temperature: float) -> None:
    """Both soften student and teacher, and neither multiplies with T²."""
    rng = np.random.default_rng(1)
    student, teacher = rng.normal(0, 3, size=(2, 7, 4))
    p, log_q = softmax(teacher / temperature, axis=1), log_softmax(student / temperature, axis=1)
    expected = -(p * log_q).sum(1).mean()
    arguments = torch.from_numpy(student), torch.from_numpy(teacher), temperature
    assert losses.soft_cross_entropy(*arguments).item() == pytest.approx(expected, rel=1e-12)
    entropy = -(p * np.log(p)).sum(1).mean()
    assert losses.kl_divergence(*arguments).item() == pytest.approx(expected - entropy, rel=1e-10)


def test_hinge_sums_over_classes_hinges_each_example_then_averages() -> None:
    """Squared distances 5, 1/4 and 2 against a margin of 1: (4 + 0 + 1) / 3."""
    student = torch.tensor([[1.0, 2.0], [0.5, 0.0], [1.0, 1.0]])
    assert losses.hinged_squared_distance(student, torch.zeros(3, 2), 1.0).item() == pytest.approx(5 / 3)


def test_hinge_without_margin_is_classes_times_the_mse() -> None:
    """m = 0 is Annealing-KD's loss up to the number of classes."""
    student, teacher = torch.randn((2, 6, 5), generator=torch.Generator().manual_seed(0))
    expected = 5 * losses.mse(student, teacher)
    assert torch.allclose(losses.hinged_squared_distance(student, teacher, 0.0), expected)


@settings(max_examples=60, deadline=None)
@given(logit_pairs(), st.floats(0.3, 10))
def test_kl_is_never_negative_and_never_more_than_the_soft_cross_entropy(
    pair: tuple[Tensor, Tensor], temperature: float
) -> None:
    """Gibbs' inequality, and the entropy is not negative."""
    divergence = losses.kl_divergence(*pair, temperature).item()
    assert -1e-9 <= divergence <= losses.soft_cross_entropy(*pair, temperature).item() + 1e-9


@settings(max_examples=40, deadline=None)
@given(logit_pairs())
def test_equal_logits_are_at_distance_zero(pair: tuple[Tensor, Tensor]) -> None:
    """KL, MSE and hinge of a model from itself."""
    for name in ("kl", "kl at T 3", "mse", "hinge"):
        assert AGAINST_TEACHER[name](pair[0], pair[0].clone()).item() == pytest.approx(0.0, abs=1e-9), name


@pytest.mark.parametrize("name", AGAINST_TEACHER)
@settings(max_examples=30, deadline=None)
@given(pair=logit_pairs(), seed=st.integers(0, 99))
def test_order_of_the_batch_does_not_matter(name: str, pair: tuple[Tensor, Tensor], seed: int) -> None:
    """The same permutation of both models' rows."""
    order = torch.randperm(len(pair[0]), generator=torch.Generator().manual_seed(seed))
    loss = AGAINST_TEACHER[name]
    assert loss(pair[0][order], pair[1][order]).item() == pytest.approx(loss(*pair).item(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", SOFTMAX_BASED)
@settings(max_examples=30, deadline=None)
@given(pair=logit_pairs(), left=_values, right=_values)
def test_a_constant_added_to_all_logits_changes_nothing(
    name: str, pair: tuple[Tensor, Tensor], left: float, right: float
) -> None:
    """Softmax does not see it; either model may be shifted by its own constant."""
    loss = AGAINST_TEACHER[name]
    assert loss(pair[0] + left, pair[1] + right).item() == pytest.approx(loss(*pair).item(), rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("name", SOFTMAX_BASED)
def test_extreme_logits_stay_finite(name: str) -> None:
    """A teacher that is certain has probabilities of zero: 0·log 0 is 0."""
    teacher = torch.tensor([[1e4, -1e4, 0.0]])
    student = torch.tensor([[300.0, -300.0, 0.0]], requires_grad=True)
    value = AGAINST_TEACHER[name](student, teacher)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(student.grad).all()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_gradient_of_the_kl_is_the_difference_of_probabilities(temperature: float) -> None:
    """d KL / d zS = (pS - pT) / (T·batch): the closed form of Hinton et al., equation 2."""
    generator = torch.Generator().manual_seed(3)
    student = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    losses.kl_divergence(student, teacher, temperature).backward()
    p, q = (softmax(logits.detach().numpy() / temperature, axis=1) for logits in (teacher, student))
    np.testing.assert_allclose(student.grad.numpy(), (q - p) / (4 * temperature), atol=1e-12)
