"""Image classifiers of transformers behind the interface of kdbench's own: pixels in [0, 1] go in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kdbench.errors import ModelError
from kdbench.tasks.spec import ImageFormat

_MODES = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""PIL's numbers of resampling filters, and PyTorch's names."""


class PixelClassifier(nn.Module):
    """A classifier with its preprocessing as first layer, so that attacks measure distances in the task's pixels.

    Attributes:
        resize: height and width that images are resized to first, or nothing.
        crop: height and width of the centre that is kept after that, or nothing.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        resize: int | None,
        crop: int | None,
        mode: str,
        mean: list[float],
        std: list[float],
    ) -> None:
        super().__init__()
        self.model, self.resize, self.crop, self.mode = model, resize, crop, mode
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Logits ``(batch, classes)`` of images ``(batch, channels, height, width)`` in [0, 1]."""
        images = pixel_values
        if self.resize is not None and images.shape[-2:] != (self.resize, self.resize):
            smooth = {} if self.mode == "nearest" else {"antialias": True}
            images = nn.functional.interpolate(images, (self.resize, self.resize), mode=self.mode, **smooth)
        if self.crop is not None:
            top, left = ((side - self.crop) // 2 for side in images.shape[-2:])
            images = images[..., top : top + self.crop, left : left + self.crop]
        logits: Tensor = self.model(pixel_values=(images - self.mean) / self.std).logits
        return logits


def with_preprocessing(model: PreTrainedModel, folder: Path, form: ImageFormat) -> PixelClassifier:
    """A model that reads what the folder's ``preprocessor_config.json`` says, put behind that preprocessing.

    Args:
        form: of the task's images, which are square.

    Raises:
        ModelError: the file is missing or says something that is not understood, or the channels differ.
    """
    path = folder / "preprocessor_config.json"
    try:
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ModelError(
            f"{path}: cannot be read, and nothing else says how the model wants its pixels: "
            "save the image processor beside the model"
        ) from None
    channels = int(getattr(model.config, "num_channels", 3))
    if channels != form.channels:
        raise ModelError(f"{folder}: the model reads {channels} channels, the task's images have {form.channels}")
    try:
        resize, crop = _sides(settings)
        return PixelClassifier(
            model, resize=resize, crop=crop, mode=_MODES[settings.get("resample", 2)], **_scales(settings, channels)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: its preprocessing is not understood ({type(error).__name__}: {error})") from None


def _sides(settings: dict[str, Any]) -> tuple[int | None, int | None]:
    """Side of the square that images are resized to, and of the centre that is cropped out of it."""
    resize = _side(settings["size"]) if settings.get("do_resize", True) else None
    crop = _side(settings["crop_size"]) if settings.get("do_center_crop", False) else None
    # ConvNeXt's processor: below 384 pixels, resize to more than is wanted and keep the centre.
    share = settings.get("crop_pct")
    if share and resize is not None and "shortest_edge" in settings["size"] and resize < 384:
        return int(resize / share), resize
    return resize, crop


def _side(size: Any) -> int:
    if isinstance(size, dict):
        size = size["shortest_edge"] if "shortest_edge" in size else _only({size["height"], size["width"]})
    return int(size)


def _only(sides: set[int]) -> int:
    (side,) = sides  # not a square: more than one value to unpack
    return side


def _scales(settings: dict[str, Any], channels: int) -> dict[str, list[float]]:
    """Mean and standard deviation of pixels in [0, 1]; rescaling by another factor than 1/255 is part of them."""
    factor = 255 * settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 255.0
    mean, std = [0.0] * channels, [1.0] * channels
    if settings.get("do_normalize", True):
        mean, std = list(settings["image_mean"]), list(settings["image_std"])
    if not len(mean) == len(std) == channels:
        raise ValueError(f"mean and std of {len(mean)} and {len(std)} channels, not {channels}")
    return {"mean": [value / factor for value in mean], "std": [value / factor for value in std]}
