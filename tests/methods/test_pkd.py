"""Patient distillation: which layers learn from which, and the distance of their [CLS] states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from kdbench.errors import MethodError
from tests.methods.fake_outputs import at_work, context, first_objective, text_outputs

TEXT = "text-classification"


def _module(student_layers: int, teacher_layers: int, *, width: int = 8, **settings: Any) -> Any:
    student, teacher = text_outputs(0, layers=student_layers), text_outputs(1, layers=teacher_layers, width=width)
    return at_work(first_objective("pkd", TEXT, **settings), student, teacher)


@pytest.mark.parametrize(
    ("strategy", "student", "teacher", "expected"),
    [
        ("skip", 6, 12, [2, 4, 6, 8, 10]),  # the paper's
        ("skip", 3, 12, [4, 8]),
        ("skip", 4, 6, [1, 3, 4]),
        ("last", 6, 12, [7, 8, 9, 10, 11]),  # the paper's
        ("last", 3, 3, [1, 2]),
    ],
)
def test_layer_maps(strategy: str, student: int, teacher: int, expected: list[int]) -> None:
    """The student's layers 1 … M-1, each with a layer of the teacher."""
    assert _module(student, teacher, strategy=strategy).map == list(enumerate(expected, start=1))


def test_distance_of_normalised_cls_states() -> None:
    """500·MSE over batch, layers and width, for layers (1, 2) of 3 to (2, 4) of 6."""
    student, teacher = text_outputs(0, layers=3), text_outputs(1, layers=6)
    squares = []
    for m, n in ((1, 2), (2, 4)):
        left, right = student.hidden_states[m].numpy(), teacher.hidden_states[n].numpy()
        for a, b in zip(left, right, strict=True):
            squares.append((a[0] / np.linalg.norm(a[0]) - b[0] / np.linalg.norm(b[0])) ** 2)
    module = at_work(first_objective("pkd", TEXT), student, teacher)
    assert not list(module.parameters())  # of one width: no projection
    found = module.soft(student, teacher, context())
    assert found["patience"].item() == pytest.approx(500 * np.mean(squares), rel=1e-9)
    assert set(found) == {"patience", "soft"}


def test_unlike_widths_get_a_projection_for_every_layer() -> None:
    """Trained with the student."""
    module = _module(3, 6, width=12)
    assert [tuple(p.shape) for p in module.parameters()] == [(12, 8)] * 2


def test_students_that_do_not_fit() -> None:
    """One layer leaves nothing before the last; more layers than the teacher have no counterpart."""
    with pytest.raises(MethodError, match="pkd compares layers before the last one: a student of 1 layer has none"):
        _module(1, 6)
    with pytest.raises(MethodError, match="the student has 4 layers and the teacher 3"):
        _module(4, 3)


def test_the_released_weights() -> None:
    """α = 0.7 for the teacher, T = 10, β = 500."""
    objective: Any = first_objective("pkd", TEXT)
    assert (objective.hard_weight, objective.kd_weight, objective.temperature) == (0.3, 0.7, 10)
    student, teacher = text_outputs(0), text_outputs(1)
    p, q = ((o.logits / 10).softmax(-1) for o in (teacher, student))
    kl = (p * (p / q).log()).sum(-1).mean()
    found = at_work(objective, student, teacher).soft(student, teacher, context())["soft"]
    assert torch.allclose(found, 0.7 * 100 * kl)
