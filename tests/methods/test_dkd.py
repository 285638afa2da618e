"""DKD: the decoupled divergence against the definition, and the identity that gives it its name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import Tensor

from kdbench.errors import MethodError
from kdbench.methods import losses
from kdbench.methods.contract import Outputs
from kdbench.methods.objectives import DecoupledKD
from tests.methods.fake_outputs import LABELS, context, first_objective, text_outputs, values


def _parts(student: Tensor, teacher: Tensor, temperature: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """TCKD, NCKD and the teacher's target probability of every example, with loops over probabilities."""
    tckd, nckd, targets = [], [], []
    for z_s, z_t, label in zip(student.numpy(), teacher.numpy(), LABELS.tolist(), strict=True):
        q, p = softmax(z_s / temperature), softmax(z_t / temperature)
        others = [c for c in range(len(p)) if c != label]
        tckd.append(p[label] * np.log(p[label] / q[label]) + (1 - p[label]) * np.log((1 - p[label]) / (1 - q[label])))
        nckd.append(sum(p[c] / (1 - p[label]) * np.log(p[c] / (1 - p[label]) * (1 - q[label]) / q[c]) for c in others))
        targets.append(p[label])
    return np.array(tckd), np.array(nckd), np.array(targets)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_both_parts_by_loops(temperature: float) -> None:
    """Equation 7, example by example."""
    student, teacher = text_outputs(0).logits * 2, text_outputs(1).logits * 2
    tckd, nckd, _ = _parts(student, teacher, temperature)
    found = losses.decoupled_divergences(student, teacher, LABELS, temperature)
    assert [part.item() for part in found] == pytest.approx([tckd.mean(), nckd.mean()], rel=1e-9)


def test_hintons_divergence_is_the_sum_with_the_teachers_doubt_as_weight() -> None:
    """KL = TCKD + (1 - pT of the target)·NCKD for every single example."""
    student, teacher = text_outputs(0).logits * 2, text_outputs(1).logits * 2
    for row, label in enumerate(LABELS):
        one = student[row : row + 1], teacher[row : row + 1]
        target, others = losses.decoupled_divergences(*one, label[None], 2.0)
        doubt = 1 - (teacher[row] / 2).softmax(0)[label]
        assert (target + doubt * others).item() == pytest.approx(losses.kl_divergence(*one, 2.0).item(), rel=1e-9)


def test_terms_have_the_papers_weights() -> None:
    """T²·α·TCKD and T²·β·NCKD with α = 1, β = 8, T = 4, once the warm-up is over; CE with weight 1."""
    student, teacher = text_outputs(0), text_outputs(1)
    tckd, nckd, _ = _parts(student.logits, teacher.logits, 4.0)
    objective = first_objective("dkd", "text-classification")
    found = values(objective.soft(student, teacher, context()))
    assert found == pytest.approx({"target": 16 * tckd.mean(), "others": 16 * 8 * nckd.mean()}, rel=1e-9)
    hard = objective.hard(student, LABELS, context())["hard"]
    assert hard.item() == pytest.approx(torch.nn.functional.cross_entropy(student.logits, LABELS).item())


def test_the_teachers_terms_rise_over_a_twelfth_of_the_stage() -> None:
    """20 of 240 epochs: nothing at the start, half after 10, all from 20 on."""
    objective = first_objective("dkd", "image-classification")
    student, teacher = text_outputs(0), text_outputs(1)
    total = [sum(values(objective.soft(student, teacher, context(progress=e / 240))).values()) for e in (0, 10, 20, 99)]
    assert total == pytest.approx([0, total[3] / 2, total[3], total[3]])


def test_two_classes_leave_nothing_for_the_others() -> None:
    """NCKD is exactly 0 and without a gradient; TCKD is Hinton's KL."""
    student, teacher = text_outputs(0, classes=2).logits.requires_grad_(), text_outputs(1, classes=2).logits
    target, others = losses.decoupled_divergences(student, teacher, LABELS % 2, 3.0)
    assert others.item() == 0 and target.item() == pytest.approx(losses.kl_divergence(student, teacher, 3.0).item())
    (gradient,) = torch.autograd.grad(others, student)
    assert not gradient.any()


def test_certain_models_stay_finite() -> None:
    """Logits of thousands: probabilities of exactly 0 and 1."""
    student = torch.tensor([[3e3, -3e3, 0.0]], requires_grad=True)
    parts = losses.decoupled_divergences(student, torch.tensor([[-2e3, 4e3, 0.0]]), torch.tensor([0]))
    sum(parts).backward()
    assert all(torch.isfinite(part) for part in parts) and torch.isfinite(student.grad).all()


def test_labels_are_needed() -> None:
    """A trainer that gives none hears so."""
    with pytest.raises(MethodError, match="needs labels"):
        DecoupledKD().soft(Outputs(torch.zeros(1, 3)), Outputs(torch.zeros(1, 3)), context(labels=None))
