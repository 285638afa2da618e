"""Similarity-preserving distillation against loops over pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kdbench.methods import feature_losses
from kdbench.methods.contract import Outputs
from tests.methods.fake_outputs import BATCH, context, first_objective, image_outputs, text_outputs, values


def _distance(left: np.ndarray, right: np.ndarray) -> float:
    """Rows of inner products with the whole batch, each divided by its length; squared differences over batch²."""
    grams = []
    for features in (left, right):
        gram = np.array([[float(np.sum(a * b)) for b in features] for a in features])
        grams.append(gram / np.sqrt((gram**2).sum(1))[:, None])
    return float(((grams[0] - grams[1]) ** 2).sum() / BATCH**2)


def test_last_maps_of_images() -> None:
    """3000·‖G̃S - G̃T‖²/batch² of flattened maps, of unlike shapes."""
    student, teacher = image_outputs(0), image_outputs(1, base=6, size=16)
    expected = 3000 * _distance(student.hidden_states[-2].numpy(), teacher.hidden_states[-2].numpy())
    found = values(first_objective("sp", "image-classification").soft(student, teacher, context()))
    assert found == pytest.approx({"similarity": expected}, rel=1e-9)


@pytest.mark.parametrize("kind", ["text-classification", "text-regression"])
def test_last_cls_states_of_texts(kind: str) -> None:
    """The first token of the last layer."""
    student, teacher = text_outputs(0), text_outputs(1, width=12)
    expected = 3000 * _distance(student.hidden_states[-1][:, 0].numpy(), teacher.hidden_states[-1][:, 0].numpy())
    found = values(first_objective("sp", kind).soft(student, teacher, context()))
    assert found == pytest.approx({"similarity": expected}, rel=1e-9)


def test_turned_and_scaled_features_are_as_similar() -> None:
    """An orthogonal map and a factor leave all relations alone."""
    features = image_outputs(0).hidden_states[-1]
    turn = torch.linalg.qr(torch.randn(features.shape[1], features.shape[1], dtype=torch.float64)).Q
    assert feature_losses.similarity_distance(features @ turn * 5, features).item() == pytest.approx(0, abs=1e-12)


def test_half_precision_is_compared_in_single() -> None:
    """Mixed precision: one model's features in bf16, the other's in fp32."""
    student, teacher = image_outputs(0), image_outputs(1)
    half = Outputs(student.logits, tuple(s.bfloat16() for s in student.hidden_states))
    single = Outputs(teacher.logits, tuple(s.float() for s in teacher.hidden_states))
    found = first_objective("sp", "image-classification").soft(half, single, context())["similarity"]
    expected = 3000 * _distance(half.hidden_states[-2].double().numpy(), single.hidden_states[-2].numpy())
    assert found.dtype == torch.float32 and found.item() == pytest.approx(expected, rel=1e-4)
