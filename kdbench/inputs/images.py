"""Images: uint8 arrays, and batches cut from them, cropped and flipped as whole tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdbench.hashing import derive_seed
from kdbench.inputs.base import DenseLogits, Inputs, Reader
from kdbench.tasks.dataset import ImageExamples
from kdbench.tasks.spec import ImageFormat


@dataclass(frozen=True)
class EncodedImages(DenseLogits):
    """A split of images of one size.

    Attributes:
        pixels: ``(n, height, width, channels)`` uint8, where batches are to be cut.
        labels: ``(n,)`` int64 classes.
        format: their size, and how they may be cropped and flipped.
    """

    pixels: Tensor
    labels: np.ndarray
    format: ImageFormat

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def augmented(self) -> bool:
        """Whether crops or flips are allowed."""
        return self.format.crop > 0 or self.format.flip

    @property
    def lengths(self) -> np.ndarray:
        """``(n,)`` ones: all images are of one size."""
        return np.ones(len(self), dtype=np.int64)

    def to(self, device: torch.device) -> EncodedImages:
        """The same split with its pixels on a device: a quarter of the floats' size, moved once."""
        return replace(self, pixels=self.pixels.to(device))

    def collate(self, rows: np.ndarray, view: int | None = None) -> Inputs:
        """``pixel_values`` ``(batch, channels, height, width)`` float32 in [0, 1], channels last in memory.

        In a view every image is shifted by up to ``crop`` pixels each way, zeros moving in, and mirrored with
        probability one half. What happens to row ``i`` depends on the view and ``i`` alone.
        """
        pixels = self.pixels[torch.from_numpy(rows).to(self.pixels.device)]
        if view is not None and self.augmented:
            pixels = crop_and_flip(pixels, *self._moves(rows, view), reach=self.format.crop)
        return {"pixel_values": pixels.permute(0, 3, 1, 2).float().div_(255)}

    def by_length(self, batch_size: int) -> Iterator[np.ndarray]:
        """All rows in order."""
        for start in range(0, len(self), batch_size):
            yield np.arange(start, min(start + batch_size, len(self)))

    def _moves(self, rows: np.ndarray, view: int) -> tuple[Tensor, Tensor]:
        """``(batch, 2)`` shifts down and right, and ``(batch,)`` whether to mirror."""
        coins = _coins(view, len(self))[rows]
        shifts = np.floor(coins[:, :2] * (2 * self.format.crop + 1)).astype(np.int64) - self.format.crop
        flips = (coins[:, 2] < 0.5) & self.format.flip
        device = self.pixels.device
        return torch.from_numpy(shifts).to(device), torch.from_numpy(flips).to(device)


@lru_cache(maxsize=2)
def _coins(view: int, count: int) -> np.ndarray:
    """``(count, 3)`` numbers in [0, 1), kept while a view is being read."""
    return np.random.Generator(np.random.PCG64(derive_seed("view", view))).random((count, 3))


def crop_and_flip(pixels: Tensor, shifts: Tensor, flips: Tensor, *, reach: int) -> Tensor:
    """Zero-padded crops of a whole batch by one look-up.

    Args:
        pixels: ``(batch, height, width, channels)``.
        shifts: ``(batch, 2)`` rows and columns by which the window moves down and right.
        flips: ``(batch,)`` bool, mirror left to right.
        reach: the largest shift there can be.
    """
    count, height, width, _ = pixels.shape
    padded = torch.nn.functional.pad(pixels, (0, 0, reach, reach, reach, reach))
    columns = torch.arange(width, device=pixels.device).expand(count, width)
    columns = torch.where(flips[:, None], width - 1 - columns, columns) + shifts[:, 1:] + reach
    lines = torch.arange(height, device=pixels.device) + shifts[:, :1] + reach
    return padded[torch.arange(count, device=pixels.device)[:, None, None], lines[:, :, None], columns[:, None, :]]


@dataclass(frozen=True)
class ImageReader:
    """The size that the models of a task read; normalisation is the models' own affair."""

    format: ImageFormat

    def encode(self, examples: ImageExamples) -> EncodedImages:
        """Decode a split."""
        return EncodedImages(torch.from_numpy(examples.pixels(self.format)), examples.labels, self.format)

    def save(self, folder: Path) -> None:
        """Nothing: the model knows its input's size."""

    def differs(self, other: Reader) -> str | None:
        """Models of one task always read the same pixels."""
        return None
