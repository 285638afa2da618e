"""DistilBERT's triple loss: the cosine of real tokens, and the weights of the release."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kdbench.methods.contract import Outputs
from tests.methods.fake_outputs import LABELS, LENGTHS, at_work, context, first_objective, text_outputs, values

TEXT = "text-classification"


def test_three_terms() -> None:
    """5·T²·KL at T = 2, 1·mean over all real tokens of 1 - cos, 2·CE."""
    student, teacher = text_outputs(0), text_outputs(1, layers=6)
    gaps = []
    for row, length in enumerate(LENGTHS):
        for a, b in zip(student.hidden_states[-1][row, :length], teacher.hidden_states[-1][row, :length], strict=True):
            left, right = a.numpy(), b.numpy()
            gaps.append(1 - left @ right / np.linalg.norm(left) / np.linalg.norm(right))
    p, q = ((o.logits / 2).softmax(-1) for o in (teacher, student))
    kl = (p * (p / q).log()).sum(-1).mean().item()
    module = at_work(first_objective("distilbert", TEXT), student, teacher)
    expected = {"soft": 5 * 4 * kl, "cosine": np.mean(gaps)}
    assert values(module.soft(student, teacher, context())) == pytest.approx(expected, rel=1e-9)
    ce = torch.nn.functional.cross_entropy(student.logits, LABELS).item()
    assert module.hard(student, LABELS, context())["hard"].item() == pytest.approx(2 * ce)


def test_only_directions_matter() -> None:
    """Longer states cost nothing, opposite ones 2."""
    student = text_outputs(0)
    for factor, expected in ((3.0, 0.0), (-1.0, 2.0)):
        teacher = Outputs(student.logits, tuple(factor * state for state in student.hidden_states))
        module = at_work(first_objective("distilbert", TEXT), student, teacher)
        assert module.soft(student, teacher, context())["cosine"].item() == pytest.approx(expected, abs=1e-9)


def test_without_a_mask_all_tokens_are_real() -> None:
    """Texts of one length come without padding."""
    student, teacher = text_outputs(0), text_outputs(1)
    module = at_work(first_objective("distilbert", TEXT), student, teacher)
    gaps = 1 - torch.nn.functional.cosine_similarity(student.hidden_states[-1], teacher.hidden_states[-1], dim=-1)
    assert torch.allclose(module.soft(student, teacher, context(inputs={}))["cosine"], gaps.mean())


def test_scores_are_compared_by_mse() -> None:
    """Regression has no classes: Hinton's loss is the MSE between scores."""
    student, teacher = text_outputs(0, classes=1), text_outputs(1, classes=1)
    module = at_work(first_objective("distilbert", "text-regression"), student, teacher)
    found = module.soft(student, teacher, context(regression=True))["soft"]
    assert torch.allclose(found, 5 * ((student.logits - teacher.logits) ** 2).mean())


def test_unlike_widths_are_bridged() -> None:
    """A trained projection from the student's width to the teacher's."""
    module = at_work(first_objective("distilbert", TEXT), text_outputs(0), text_outputs(1, width=12))
    assert [tuple(p.shape) for p in module.parameters()] == [(12, 8)]
