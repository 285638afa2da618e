"""RAIL-KD: the draw of layers, and the distance of their projections."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kdbench.errors import MethodError
from tests.methods.fake_outputs import LENGTHS, at_work, context, first_objective, text_outputs

TEXT = "text-classification"


def _module(student_layers: int, teacher_layers: int) -> Any:
    student, teacher = text_outputs(0, layers=student_layers), text_outputs(1, layers=teacher_layers, width=12)
    return at_work(first_objective("rail", TEXT), student, teacher)


def test_the_draw_is_sorted_distinct_and_without_the_last_layer() -> None:
    """Two of the teacher's layers 1 … 5 for a student of three; every pair turns up about equally often."""
    module = _module(3, 6)
    drawn = [tuple(module.draw(seed)) for seed in range(2000)]
    pairs = {(m, n) for m in range(1, 6) for n in range(m + 1, 6)}
    assert set(drawn) == pairs
    assert all(140 < drawn.count(pair) < 260 for pair in pairs)  # 200 expected, deviation 13


def test_every_update_draws_its_own_and_the_same_again() -> None:
    """From the update's seed, so that an interrupted training goes on as it would have."""
    module, student, teacher = _module(3, 9), text_outputs(0), text_outputs(1, layers=9, width=12)
    terms = [module.soft(student, teacher, context(seed=seed))["layers"].item() for seed in (1, 2, 1)]
    assert terms[0] == terms[2] != terms[1]


def test_distance_of_normalised_projections() -> None:
    """⅓·Σ over layers of the batch mean of ‖gS/‖gS‖ - gT/‖gT‖‖², g projected means over real tokens."""
    student, teacher = text_outputs(0), text_outputs(1, layers=6, width=12)
    module = at_work(first_objective("rail", TEXT), student, teacher)
    total = 0.0
    for m, n in zip((1, 2), module.draw(7), strict=True):
        vectors = []
        for states, layer in (
            (student.hidden_states[m], module.student_projection),
            (teacher.hidden_states[n], module.teacher_projection),
        ):
            means = np.stack([row[:length].numpy().mean(0) for row, length in zip(states, LENGTHS, strict=True)])
            projected = means @ layer.weight.detach().numpy().T
            vectors.append(projected / np.linalg.norm(projected, axis=1, keepdims=True))
        total += ((vectors[0] - vectors[1]) ** 2).sum(1).mean()
    assert module.student_projection.out_features == 128
    assert module.soft(student, teacher, context(seed=7))["layers"].item() == pytest.approx(total / 3, rel=1e-9)


def test_students_that_do_not_fit() -> None:
    """Nothing before the last layer, or more layers than can be drawn."""
    with pytest.raises(MethodError, match="rail compares layers before the last one"):
        _module(1, 6)
    with pytest.raises(MethodError, match="the student has 5 layers and the teacher 4"):
        _module(5, 4)
