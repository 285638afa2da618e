"""Relational distillation against loops over pairs and triplets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from kdbench.methods import feature_losses
from tests.methods.fake_outputs import BATCH, context, first_objective, image_outputs, text_outputs, values


def _huber(left: float, right: float) -> float:
    gap = abs(left - right)
    return gap**2 / 2 if gap < 1 else gap - 0.5


def _distances(features: np.ndarray) -> np.ndarray:
    """In units of the mean over pairs of different examples."""
    table = np.array([[np.linalg.norm(a - b) for b in features] for a in features])
    return table / table[~np.eye(BATCH, dtype=bool)].mean()


def _angle(features: np.ndarray, i: int, j: int, k: int) -> float:
    """The cosine at i between j and k; 0 where one of them is i."""
    if i in (j, k):
        return 0.0
    left, right = features[j] - features[i], features[k] - features[i]
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


@pytest.mark.parametrize("kind", ["image-classification", "text-classification", "text-regression"])
def test_distances_and_angles(kind: str) -> None:
    """25·mean Huber over pairs, 50·mean Huber over triplets, of pooled features or last [CLS] states."""
    if kind.startswith("image"):
        student, teacher = image_outputs(0), image_outputs(1, base=6)
        mine, theirs = student.hidden_states[-1].numpy(), teacher.hidden_states[-1].numpy()
    else:
        student, teacher = text_outputs(0), text_outputs(1, width=12)
        mine, theirs = student.hidden_states[-1][:, 0].numpy(), teacher.hidden_states[-1][:, 0].numpy()
    table = zip(_distances(mine).ravel(), _distances(theirs).ravel(), strict=True)
    triplets = list(itertools.product(range(BATCH), repeat=3))
    expected = {
        "distance": 25 * np.mean([_huber(a, b) for a, b in table]),
        "angle": 50 * np.mean([_huber(_angle(mine, *t), _angle(theirs, *t)) for t in triplets]),
    }
    assert values(first_objective("rkd", kind).soft(student, teacher, context())) == pytest.approx(expected, rel=1e-9)


def test_an_equilateral_triangle_and_a_line() -> None:
    """By hand: equal distances against 1, 1, 2 (units of 4/3), angles of 60° against 0°, 180°, 0°."""
    triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]], dtype=torch.float64)
    line = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    distance = 2 * (_huber(1, 3 / 4) * 2 + _huber(1, 3 / 2)) / 9
    angle = 2 * (_huber(0.5, 1) * 2 + _huber(0.5, -1)) / 27  # of the two other orders; j = k has a cosine of 1 in both
    assert feature_losses.distance_relation(triangle, line).item() == pytest.approx(distance)
    assert feature_losses.angle_relation(triangle, line).item() == pytest.approx(angle)


def test_moved_turned_and_scaled_features_have_the_same_relations() -> None:
    """Isometries and a common factor."""
    features = image_outputs(0).hidden_states[-1]
    turn = torch.linalg.qr(torch.randn(features.shape[1], features.shape[1], dtype=torch.float64)).Q
    moved = features @ turn * 3 + 1
    for relation in (feature_losses.distance_relation, feature_losses.angle_relation):
        assert relation(moved, features).item() == pytest.approx(0, abs=1e-12)


def test_examples_that_coincide_have_finite_and_modest_gradients() -> None:
    """A collapsed student, and one with two equal rows: no distance to divide by."""
    teacher = image_outputs(1).hidden_states[-1]
    twins = image_outputs(0).hidden_states[-1].clone()
    twins[1] = twins[0]
    for start in (torch.zeros_like(teacher), twins):
        student = start.clone().requires_grad_()
        total = feature_losses.distance_relation(student, teacher) + feature_losses.angle_relation(student, teacher)
        total.backward()
        assert torch.isfinite(student.grad).all() and student.grad.abs().max() < 10
