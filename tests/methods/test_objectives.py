"""Objectives: the weights and the terms each method's formula asks for, on classes and on scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor

from kdbench.methods import Context, CrossEntropy, KDObjective, LogitMSE, Outputs, supervised_loss
from kdbench.methods.contract import Objective
from kdbench.methods.objectives import ContinuationObjective

CLASSES = Context()
SCORES = Context(regression=True)
OBJECTIVES = {
    "kd": KDObjective(0.5, 2.0),
    "mate": KDObjective(1 / 3, 1.0, "soft-ce"),
    "mse": LogitMSE(0.25),
    "continuation": ContinuationObjective(1.0, 0.5, 2 / 3),
}


def _batch(outputs: int) -> tuple[Tensor, Tensor, Tensor]:
    """Student logits, teacher logits and labels of six rows, in float64."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn((2, 6, outputs), generator=generator, dtype=torch.float64) * 2
    labels = torch.randn(6, generator=generator, dtype=torch.float64) if outputs == 1 else torch.arange(6) % outputs
    return student, teacher, labels


def _ce(student: Tensor, labels: Tensor) -> float:
    log_p = log_softmax(student.numpy(), axis=1)
    return float(-log_p[np.arange(len(labels)), labels.numpy()].mean())


def _terms(objective: Objective, outputs: int, context: Context) -> dict[str, float]:
    student, teacher, labels = _batch(outputs)
    terms = objective.hard(Outputs(student), labels, context)
    if objective.uses_teacher:
        terms |= objective.soft(Outputs(student), Outputs(teacher), context)
    return {name: value.item() for name, value in terms.items()}


@pytest.mark.parametrize(("alpha", "temperature"), [(0.5, 2.0), (0.1, 4.0), (0.9, 1.0)])
def test_kd_is_alpha_ce_and_the_rest_t_squared_kl(alpha: float, temperature: float) -> None:
    """α·CE + (1-α)·T²·KL, the KL summed over classes."""
    student, teacher, labels = _batch(3)
    p, q = (softmax(z.numpy() / temperature, axis=1) for z in (teacher, student))
    kl = (p * np.log(p / q)).sum(1).mean()
    found = _terms(KDObjective(alpha, temperature), 3, CLASSES)
    expected = {"hard": alpha * _ce(student, labels), "soft": (1 - alpha) * temperature**2 * kl}
    assert found == pytest.approx(expected, rel=1e-10)


def test_kd_without_labels_does_not_look_at_them() -> None:
    """α = 0 has no hard term at all, whatever the labels are."""
    student, _, _ = _batch(3)
    nonsense = torch.full((6,), 10**6)
    assert KDObjective(0.0, 2.0).hard(Outputs(student), nonsense, CLASSES) == {}
    assert LogitMSE().hard(Outputs(student), nonsense, CLASSES) == {}


def test_mate_divergence_is_the_soft_cross_entropy() -> None:
    """(1-α)·-Σ pT log pS at T = 1: KL plus the teacher's entropy."""
    student, teacher, labels = _batch(3)
    soft = -(softmax(teacher.numpy(), axis=1) * log_softmax(student.numpy(), axis=1)).sum(1).mean()
    found = _terms(KDObjective(1 / 3, 1.0, "soft-ce"), 3, CLASSES)
    assert found == pytest.approx({"hard": _ce(student, labels) / 3, "soft": 2 / 3 * soft}, rel=1e-10)


@pytest.mark.parametrize("alpha", [0.0, 0.25])
def test_logit_mse(alpha: float) -> None:
    """α·CE + (1-α)·MSE."""
    student, teacher, labels = _batch(3)
    expected = {"soft": (1 - alpha) * ((student - teacher) ** 2).mean().item()}
    if alpha:
        expected["hard"] = alpha * _ce(student, labels)
    assert _terms(LogitMSE(alpha), 3, CLASSES) == pytest.approx(expected, rel=1e-10)


def test_cross_entropy_objective_needs_no_teacher() -> None:
    """Labels only, with and without smoothing."""
    student, _, labels = _batch(3)
    assert not CrossEntropy().uses_teacher
    assert _terms(CrossEntropy(), 3, CLASSES) == pytest.approx({"hard": _ce(student, labels)})
    uniform = -log_softmax(student.numpy(), axis=1).mean()
    smoothed = 0.9 * _ce(student, labels) + 0.1 * uniform
    assert _terms(CrossEntropy(0.1), 3, CLASSES) == pytest.approx({"hard": smoothed})


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.5, 0.66])
def test_continuation_before_the_switch(progress: float) -> None:
    """ψ·CE + (1-ψ)·hinge with margin m·Φ; the paper's ψ(i) = i/40 for i of 30 epochs."""
    student, teacher, labels = _batch(3)
    psi = 30 * progress / 40
    distances = ((student - teacher) ** 2).sum(1).numpy()
    hinge = np.maximum(0, distances - 2.0 * 0.4).mean()
    found = _terms(ContinuationObjective(2.0, 0.5, 2 / 3), 3, Context(scale=0.4, progress=progress))
    assert found == pytest.approx({"hard": psi * _ce(student, labels), "soft": (1 - psi) * hinge}, rel=1e-10)


@pytest.mark.parametrize("progress", [2 / 3, 0.7, 0.999])
def test_continuation_after_the_switch_is_labels_only(progress: float) -> None:
    """ψ is 1 from epoch 20 of 30 on."""
    student, _, labels = _batch(3)
    found = _terms(ContinuationObjective(1.0, 0.5, 2 / 3), 3, Context(progress=progress))
    assert found == pytest.approx({"hard": _ce(student, labels)})


@pytest.mark.parametrize("objective", [KDObjective(0.5, 2.0), KDObjective(0.5, 1.0, "soft-ce"), LogitMSE(0.5)])
def test_regression_is_mse_against_scores_and_against_the_teacher(objective: Objective) -> None:
    """No temperature, no softmax, and labels ``(batch,)`` against logits ``(batch, 1)`` do not broadcast."""
    student, teacher, labels = _batch(1)
    hard = ((student[:, 0] - labels) ** 2).mean().item()
    soft = ((student - teacher) ** 2).mean().item()
    assert _terms(objective, 1, SCORES) == pytest.approx({"hard": hard / 2, "soft": soft / 2}, rel=1e-10)


def test_supervised_loss_of_scores_is_the_mse() -> None:
    """The control on regression; smoothing has no meaning there."""
    student, _, labels = _batch(1)
    expected = ((student[:, 0] - labels) ** 2).mean()
    assert torch.allclose(supervised_loss(Outputs(student), labels, SCORES), expected)
    assert torch.allclose(CrossEntropy().hard(Outputs(student), labels, SCORES)["hard"], expected)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_soft_term_moves_every_row_of_the_student(name: str, outputs: int) -> None:
    """No row of the batch is lost on the way to the scalar, for classes and for scores."""
    student, teacher, _ = _batch(outputs)
    student = (student * 3).requires_grad_()
    context = Context(regression=outputs == 1, scale=0.5, progress=0.25)
    OBJECTIVES[name].soft(Outputs(student), Outputs(teacher), context)["soft"].backward()
    assert student.grad is not None and (student.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_terms_keep_the_precision_of_the_logits(name: str) -> None:
    """Nothing is cast behind the caller's back."""
    student, teacher, labels = _batch(3)
    objective, context = OBJECTIVES[name], Context(progress=0.25)
    terms = objective.hard(Outputs(student), labels, context)
    terms |= objective.soft(Outputs(student), Outputs(teacher), context)
    assert {value.dtype for value in terms.values()} == {torch.float64}
