"""FitNets: the regressor for every relation of sizes, and the hint."""

from __future__ import annotations

import pytest
import torch

from kdbench.errors import MethodError
from kdbench.methods.contract import Outputs
from kdbench.methods.objectives.feature_modules import regressor
from tests.methods.fake_outputs import at_work, context, first_objective, image_outputs, text_outputs

IMAGES = "image-classification"


@pytest.mark.parametrize(("mine", "theirs"), [(8, 8), (16, 8), (8, 16), (9, 4), (32, 1)])
def test_the_regressor_arrives_at_the_teachers_shape(mine: int, theirs: int) -> None:
    """Same size, twice, half, and anything larger."""
    student, teacher = torch.randn(2, 3, mine, mine), torch.randn(2, 5, theirs, theirs)
    assert regressor(student.shape, teacher.shape)(student).shape == teacher.shape


def test_a_map_that_is_too_small_is_refused() -> None:
    """Neither half the size nor larger."""
    with pytest.raises(MethodError, match="no regressor leads from the student's 4x4 map to the teacher's 9x9"):
        regressor(torch.Size((2, 3, 4, 4)), torch.Size((2, 5, 9, 9)))


def test_hint_is_a_hundred_times_the_mse_at_the_second_stage() -> None:
    """A 1x1 convolution, batch normalisation and ReLU, worked out by hand from the regressor's weights."""
    student, teacher = image_outputs(0), image_outputs(1, base=6)
    module = at_work(first_objective("fitnets", IMAGES), student, teacher)
    convolution = module.regressor[0]
    assert convolution.kernel_size == (1, 1) and convolution.out_channels == 12
    weight, bias = convolution.weight[:, :, 0, 0], convolution.bias
    mapped = torch.einsum("oc,bchw->bohw", weight, student.hidden_states[2]) + bias[:, None, None]
    mean, variance = mapped.mean((0, 2, 3), keepdim=True), mapped.var((0, 2, 3), keepdim=True, correction=0)
    normal = ((mapped - mean) / (variance + 1e-5).sqrt()).clamp(min=0)
    expected = 100 * ((normal - teacher.hidden_states[2]) ** 2).mean()
    assert torch.allclose(module.soft(student, teacher, context())["hint"], expected)


def test_hintons_loss_can_be_mixed_in() -> None:
    """KD weight 0 leaves it out, as RepDistiller does; else it is a term of its own."""
    student, teacher = image_outputs(0), image_outputs(1)
    plain, mixed = (
        at_work(first_objective("fitnets", IMAGES, kd_weight=w), student, teacher).soft(student, teacher, context())
        for w in (0.0, 0.9)
    )
    assert set(plain) == {"hint"} and set(mixed) == {"hint", "soft"}


@pytest.mark.parametrize("layer", [4, 7])
def test_a_layer_without_a_map(layer: int) -> None:
    """The pooled features are none, and what is beyond does not exist."""
    outputs = image_outputs(0)
    with pytest.raises(MethodError, match=f"there is no map at layer {layer}: .* stages 1 to 3"):
        at_work(first_objective("fitnets", IMAGES, layer=layer), outputs, outputs)


def test_models_without_hidden_states() -> None:
    """One clear line."""
    bare = Outputs(text_outputs(0).logits)
    with pytest.raises(MethodError, match="needs hidden states"):
        at_work(first_objective("fitnets", IMAGES), bare, bare)
