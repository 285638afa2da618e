"""Attention transfer against loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kdbench.errors import MethodError
from kdbench.methods import feature_losses
from kdbench.methods.contract import Outputs
from tests.methods.fake_outputs import context, first_objective, image_outputs, values

IMAGES = "image-classification"


def _map(features: np.ndarray, power: int) -> np.ndarray:
    """Mean over channels of |F|^p at every pixel, divided by the Euclidean norm of the image's map."""
    channels, height, width = features.shape
    pixels = [
        sum(abs(features[c, y, x]) ** power for c in range(channels)) / channels
        for y in range(height)
        for x in range(width)
    ]
    return np.array(pixels) / np.sqrt(sum(p * p for p in pixels))


@pytest.mark.parametrize("power", [1, 2])
def test_every_stage_but_not_the_stem(power: int) -> None:
    """1000·Σ of the MSE over batch and pixels; models of unlike width."""
    student, teacher = image_outputs(0), image_outputs(1, base=6)
    total = 0.0
    for left, right in zip(student.hidden_states[1:-1], teacher.hidden_states[1:-1], strict=True):
        squares = [(_map(a, power) - _map(b, power)) ** 2 for a, b in zip(left.numpy(), right.numpy(), strict=True)]
        total += np.mean(squares)
    found = values(first_objective("at", IMAGES, power=power).soft(student, teacher, context()))
    assert found == pytest.approx({"attention": 1000 * total}, rel=1e-9)


def test_the_larger_map_is_pooled() -> None:
    """Means of blocks of 2 x 2 pixels, whichever model has the larger map."""
    large, small = image_outputs(0, size=8).hidden_states[1], image_outputs(1, size=4).hidden_states[1]
    blocks = large.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean((3, 5))
    expected = feature_losses.attention_distance(blocks, small, 2).item()
    assert feature_losses.attention_distance(large, small, 2).item() == pytest.approx(expected)
    assert feature_losses.attention_distance(small, large, 2).item() == pytest.approx(expected)


def test_the_scale_of_the_features_does_not_matter() -> None:
    """Maps have length 1; a network that is silent has no direction, but no bad gradient either."""
    features = image_outputs(0).hidden_states[2]
    assert feature_losses.attention_distance(features * 3, features, 2).item() == pytest.approx(0, abs=1e-12)
    silent = torch.zeros_like(features, requires_grad=True)
    feature_losses.attention_distance(silent, features, 2).backward()
    assert torch.isfinite(silent.grad).all()


def test_unlike_numbers_of_stages() -> None:
    """There is no pairing."""
    student, teacher = image_outputs(0), image_outputs(1, stages=4)
    with pytest.raises(MethodError, match="stages of student and teacher one by one, and they have 3 and 4"):
        first_objective("at", IMAGES).soft(student, Outputs(teacher.logits, teacher.hidden_states), context())
