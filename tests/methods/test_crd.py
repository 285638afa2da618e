"""Contrastive distillation: the loss by loops, the draw of negatives, the banks that move."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from kdbench.errors import MethodError
from kdbench.methods import feature_losses
from tests.methods.fake_outputs import at_work, context, first_objective, image_outputs, text_outputs

IMAGES = "image-classification"
SPLIT = torch.arange(40) % 3  # labels of a training split of 40
ROWS = torch.tensor([0, 7, 5, 11, 2, 38])


def _module(seed: int = 0, **settings: Any) -> Any:
    student, teacher = image_outputs(seed), image_outputs(seed + 1, base=6)
    return at_work(first_objective("crd", IMAGES, **settings), student, teacher, labels=SPLIT)


def _embedded(layer: torch.nn.Linear, features: torch.Tensor) -> np.ndarray:
    rows = features.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_loss_by_loops() -> None:
    """0.8·Σ over both sides of -log h(positive) - Σ log(1 - h(negative)), h = P/(P + K/n), P = exp(s/τ)/Z."""
    student, teacher = image_outputs(0), image_outputs(1, base=6)
    module = _module(width=5, negatives=4)
    negatives = module.draw(ROWS, 7).numpy()
    banks = module.teacher_bank.numpy().copy(), module.student_bank.numpy().copy()
    anchors = (
        _embedded(module.student_embedding, student.hidden_states[-1]),
        _embedded(module.teacher_embedding, teacher.hidden_states[-1]),
    )
    total = 0.0
    for side, bank in zip(anchors, banks, strict=True):
        scores = [
            [math.exp(a @ bank[r] / 0.07) for r in (row, *others)]
            for a, row, others in zip(side, ROWS, negatives, strict=True)
        ]
        z, chance = np.mean(scores) * len(SPLIT), 4 / len(SPLIT)
        for positive, *rest in scores:
            total -= math.log(positive / z / (positive / z + chance))
            total -= sum(math.log(chance / (score / z + chance)) for score in rest)
    found = module.soft(student, teacher, context(rows=ROWS))["contrast"].item()
    assert found == pytest.approx(0.8 * total / len(ROWS), rel=1e-9)


def test_normalisers_are_estimated_once_and_kept() -> None:
    """On the first batch; they are part of the state."""
    module = _module()
    student, teacher = image_outputs(0), image_outputs(1, base=6)
    module.soft(student, teacher, context(rows=ROWS))
    first = module.normalisers.clone()
    module.soft(image_outputs(2), image_outputs(3, base=6), context(rows=ROWS))
    assert (first > 0).all() and torch.equal(module.normalisers, first)
    assert {"normalisers", "student_bank", "teacher_bank"} <= set(module.state_dict())


def test_banks_move_half_way_and_keep_length_one() -> None:
    """Only the rows of the batch, after the loss has used the old ones."""
    module = _module(width=5)
    student, teacher = image_outputs(0), image_outputs(1, base=6)
    before = module.student_bank.numpy().copy()
    fresh = _embedded(module.student_embedding, student.hidden_states[-1])
    module.soft(student, teacher, context(rows=ROWS))["contrast"].backward()
    after = module.student_bank.numpy()
    expected = 0.5 * before[ROWS] + 0.5 * fresh
    np.testing.assert_allclose(after[ROWS], expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-9)
    others = np.setdiff1d(np.arange(len(SPLIT)), ROWS)
    np.testing.assert_array_equal(after[others], before[others])


def test_negatives_are_of_other_classes_and_uniform() -> None:
    """All of the other classes' examples are drawn about equally often, none of the own class."""
    module = _module()
    counts = np.zeros((len(ROWS), len(SPLIT)))
    for seed in range(400):
        drawn = module.draw(ROWS, seed)
        assert (SPLIT[drawn] != SPLIT[ROWS][:, None]).all()
        for row, indices in enumerate(drawn):
            counts[row] += np.bincount(indices, minlength=len(SPLIT))
    for row, label in enumerate(SPLIT[ROWS]):
        others = counts[row][(label != SPLIT).numpy()]
        deviation = math.sqrt(others.mean())  # of a count, nearly Poisson
        assert abs(others - others.mean()).max() < 5 * deviation


def test_the_draw_follows_the_seed_and_the_examples_not_their_order() -> None:
    """The same update draws the same, whatever ran before; another update draws anew."""
    module = _module()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.manual_seed(99)
    first = module.draw(ROWS, 7)
    assert torch.equal(module.draw(ROWS, 7), first) and not torch.equal(module.draw(ROWS, 8), first)
    assert torch.equal(module.draw(ROWS[order], 7), first[order])


def test_there_are_no_more_negatives_than_examples_of_other_classes() -> None:
    """16384 are asked for; the largest of three classes has 14 of 40."""
    assert _module().negatives == 26 and _module(negatives=9).negatives == 9


def test_one_class_has_no_negatives() -> None:
    """Said at the start of the stage."""
    outputs = image_outputs(0)
    with pytest.raises(MethodError, match="all training examples are of one class"):
        at_work(first_objective("crd", IMAGES), outputs, outputs, labels=torch.zeros(9, dtype=torch.int64))


def test_texts_are_read_at_their_last_cls_state() -> None:
    """Other tokens have no influence, and no gradient."""
    student, teacher = text_outputs(0), text_outputs(1, width=12)
    states = [state.requires_grad_() for state in student.hidden_states]
    module = at_work(first_objective("crd", "text-classification"), student, teacher, labels=SPLIT)
    module.soft(student, teacher, context(rows=ROWS))["contrast"].backward()
    assert states[-1].grad[:, 0].any() and not states[-1].grad[:, 1:].any()


def test_noise_contrast_by_hand() -> None:
    """P = 1 against a chance of 1/2: h = 2/3 for the pair and for both negatives."""
    found = feature_losses.noise_contrastive(torch.zeros(1), torch.zeros(1, 2), examples=4)
    assert found.item() == pytest.approx(-math.log(2 / 3) - 2 * math.log(1 / 3))
