"""Preprocessing as a layer does what the image processors of transformers do to whole images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BitImageProcessor,
    ConvNextImageProcessor,
    PretrainedConfig,
    PreTrainedModel,
    ViTImageProcessor,
)
from transformers.modeling_outputs import ImageClassifierOutput

from kdbench.errors import ModelError
from kdbench.tasks.spec import ImageFormat
from kdbench.victims.pixels import with_preprocessing

FORM = ImageFormat(size=32, channels=3, mean=(0.0,) * 3, std=(1.0,) * 3)
SQUARE = {"height": 48, "width": 48}


class Flatten(PreTrainedModel):  # type: ignore[misc]
    """Puts out the pixels that it reads."""

    config_class = PretrainedConfig

    def __init__(self) -> None:
        super().__init__(PretrainedConfig(num_channels=3))
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, pixel_values: Tensor) -> ImageClassifierOutput:
        return ImageClassifierOutput(logits=pixel_values.flatten(1))


PROCESSORS = {
    "as it is": ViTImageProcessor(do_resize=False),
    "larger": ViTImageProcessor(size=SQUARE),
    "larger, bicubic": ViTImageProcessor(size=SQUARE, resample=3),
    "nearest": ViTImageProcessor(size={"height": 64, "width": 64}, resample=0),
    "smaller": ViTImageProcessor(size={"height": 16, "width": 16}),
    "cropped": BitImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}, resample=2),
    "by a share": ConvNextImageProcessor(size={"shortest_edge": 48}, resample=2),
    "large": ConvNextImageProcessor(size={"shortest_edge": 384}, resample=2),
    "in bytes": ViTImageProcessor(do_resize=False, do_rescale=False, image_mean=[99.0] * 3, image_std=[50.0] * 3),
    "from -1 to 1": ViTImageProcessor(
        do_resize=False, rescale_factor=1 / 127.5, image_mean=[1.0] * 3, image_std=[1.0] * 3
    ),
    "not normalised": ViTImageProcessor(size=SQUARE, do_normalize=False),
}  # fmt: skip


@pytest.mark.parametrize("name", PROCESSORS)
def test_it_equals_the_image_processor(name: str, tmp_path: Path) -> None:
    """Smooth images, up to the rounding to bytes that PIL does in between."""
    processor = PROCESSORS[name]
    processor.save_pretrained(tmp_path)
    rows = np.linspace(0, 3, 32)
    picture = np.stack([np.sin(rows[:, None] + k * rows) for k in (1, 2, 3)], axis=-1)
    pixels = np.round(127.5 + 120 * picture).astype(np.uint8)
    expected = processor(pixels, return_tensors="pt")["pixel_values"].double()
    model = with_preprocessing(Flatten(), tmp_path, FORM)
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    found = model(images).view(expected.shape).double()
    # two units of a byte, after whatever the processor does to its scale
    unit = (expected.max() - expected.min()) / 240
    assert (found - expected).abs().max() < 2 * unit


def test_attacks_see_its_gradients(tmp_path: Path) -> None:
    """Through resizing and normalisation."""
    PROCESSORS["larger"].save_pretrained(tmp_path)
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    with_preprocessing(Flatten(), tmp_path, FORM)(images).sum().backward()
    assert images.grad is not None and (images.grad > 0).all()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (None, "preprocessor_config.json: cannot be read, and nothing else says how the model wants its pixels"),
        ({"size": {"height": 32, "width": 48}}, "its preprocessing is not understood"),
        ({"size": SQUARE, "resample": 5, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}, "is not understood"),
        ({"size": SQUARE, "image_mean": [0.5], "image_std": [0.5]}, "mean and std of 1 and 1 channels, not 3"),
        ({"size": SQUARE}, r"is not understood \(KeyError: 'image_mean'\)"),
    ],
)
def test_what_is_not_understood_is_refused(settings: dict[str, Any] | None, complaint: str, tmp_path: Path) -> None:
    """Rather than guessed."""
    if settings is not None:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(ModelError, match=complaint):
        with_preprocessing(Flatten(), tmp_path, FORM)


def test_channels_must_agree(tmp_path: Path) -> None:
    """Grey images are not made coloured."""
    PROCESSORS["larger"].save_pretrained(tmp_path)
    grey = ImageFormat(size=32, channels=1, mean=(0.0,), std=(1.0,))
    with pytest.raises(ModelError, match="reads 3 channels, the task's images have 1"):
        with_preprocessing(Flatten(), tmp_path, grey)
