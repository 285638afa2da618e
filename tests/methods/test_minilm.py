"""MiniLMv2: self-relations by loops, relation heads, the teacher's layer, and the stage that follows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

from kdbench.budget import Updates
from kdbench.errors import MethodError
from kdbench.methods import token_losses
from kdbench.methods.contract import Outputs
from kdbench.methods.objectives import CrossEntropy, KDObjective
from kdbench.methods.registry import METHODS
from kdbench.methods.stages import Trajectory
from tests.methods.fake_outputs import LENGTHS, MASK, at_work, context, first_objective, text_outputs, values

TEXT = "text-classification"


def _relation(vectors: np.ndarray, head: int, heads: int) -> np.ndarray:
    width = vectors.shape[1] // heads
    part = vectors[:, head * width : (head + 1) * width]
    return softmax(part @ part.T / math.sqrt(width), axis=1)


def test_three_divergences_by_loops() -> None:
    """The student's last layer from the teacher's last of 6, four relation heads on widths 8 and 12."""
    student, teacher = text_outputs(0), text_outputs(1, layers=6, width=12)
    module = at_work(first_objective("minilm", TEXT), student, teacher)
    assert module.relation_heads == 4 and module.teacher_layer == 6
    expected = {}
    for place, name in enumerate(("queries", "keys", "values")):
        rows = []
        for row, length in enumerate(LENGTHS):
            mine, theirs = (o.projections[-1][place][row, :length].numpy() for o in (student, teacher))
            for head in range(4):
                p, q = _relation(theirs, head, 4), _relation(mine, head, 4)
                rows.append((p * np.log(p / q)).sum(1).mean())
        expected[name] = np.mean(rows)
    assert values(module.soft(student, teacher, context())) == pytest.approx(expected, rel=1e-9)
    assert module.hard(student, torch.zeros(6), context()) == {}


def test_relations_do_not_see_turned_heads() -> None:
    """An orthogonal map inside every relation head changes no product; a divergence is never negative."""
    values_ = text_outputs(0).projections[-1][2]
    turn = torch.block_diag(*(torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q for _ in range(2)))
    divergence = token_losses.relation_divergence(values_ @ turn, values_, MASK.bool(), 2)
    assert divergence.item() == pytest.approx(0, abs=1e-9)
    assert token_losses.relation_divergence(values_ + 1, values_, MASK.bool(), 2).item() > 0


def _wide(width: int, layers: int = 1) -> Outputs:
    zeros = torch.zeros(1, 1, width)
    return Outputs(torch.zeros(1, 2), projections=((zeros, zeros, zeros),) * layers)


@pytest.mark.parametrize(
    ("student", "teacher", "heads"),
    [(384, 768, 48), (768, 768, 48), (768, 1024, 64), (512, 1024, 64), (312, 768, 24), (16, 16, 16)],
)
def test_relation_heads(student: int, teacher: int, heads: int) -> None:
    """The paper's 48 or 64, or the next number below that divides both widths."""
    if (student, teacher) == (312, 768):
        assert heads == math.gcd(312, 768)
    module = at_work(first_objective("minilm", TEXT), _wide(student), _wide(teacher))
    assert module.relation_heads == heads


def test_relation_heads_that_do_not_divide() -> None:
    """A number that was asked for is never changed without a word."""
    with pytest.raises(MethodError, match=r"minilm: 48 relation heads do not divide the widths 512 .* and 768"):
        at_work(first_objective("minilm", TEXT, relation_heads=48), _wide(512), _wide(768))


@pytest.mark.parametrize(("layers", "wanted", "expected"), [(6, None, 6), (12, None, 12), (24, None, 21), (24, 19, 19)])
def test_teacher_layer(layers: int, wanted: int | None, expected: int) -> None:
    """The last of 12, the 21st of 24 (BERT-large), or what the settings say (19 for RoBERTa-large)."""
    objective = first_objective("minilm", TEXT, teacher_layer=wanted)
    assert at_work(objective, _wide(16), _wide(16, layers)).teacher_layer == expected


def test_a_teacher_layer_that_does_not_exist() -> None:
    """Named with the number there are."""
    with pytest.raises(MethodError, match="teacher_layer 13 does not exist, the teacher has 12"):
        at_work(first_objective("minilm", TEXT, teacher_layer=13), _wide(16), _wide(16, 12))


@pytest.mark.parametrize(("second", "objective"), [("finetune", CrossEntropy()), ("kd", KDObjective(0.5, 2.0))])
def test_the_task_follows(second: str, objective: Any) -> None:
    """From the last student of the relations, with labels alone or with Hinton's loss."""
    first, task = METHODS.build("minilm", {"minilm": {"second_stage": second}}).stages(
        Updates(40, 8), Trajectory.nominal(3)
    )
    assert first.needs("projections") and not first.needs("hidden_states") and first.steps == task.steps == 20
    assert task.objective == objective and task.start == "last"
    assert bool(task.legs[0].teacher) == (second == "kd")
