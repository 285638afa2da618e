"""What the trainer and evaluations know of a split, whatever it holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

Inputs = dict[str, Tensor]

AUXILIARY = ("answerable", "frozen")
"""Inputs that tell about the others and are not for the model itself, ``(batch, tokens)`` bool each.

``answerable``: where an answer may start or end. ``frozen``: what augmenters must leave as it is.
"""

CLOSED = -1e4
"""Logit of a position that cannot be an answer: no share of any softmax, and finite in every precision."""


class Encoded(Protocol):
    """A split, ready for a model.

    Attributes:
        labels: ``(n,)`` int64 classes or float32 scores.
        lengths: ``(n,)`` sizes of the rows, for batches of similar ones.
        augmented: whether collating in another view gives other inputs.
    """

    @property
    def labels(self) -> np.ndarray:
        """See above."""
        ...

    @property
    def lengths(self) -> np.ndarray:
        """See above."""
        ...

    @property
    def augmented(self) -> bool:
        """See above."""
        ...

    def __len__(self) -> int: ...

    def new_logits(self, width: int) -> np.ndarray:
        """Room for the logits of all rows, float32; ``width`` is that of the model's head."""
        ...

    def put_logits(self, store: np.ndarray, rows: np.ndarray, logits: np.ndarray) -> None:
        """Keep the logits of a batch that was collated from ``rows``."""
        ...

    def pick_logits(self, store: Tensor, rows: Tensor) -> Tensor:
        """The same logits again, in the shape in which the model gave them."""
        ...

    def to(self, device: torch.device) -> Encoded:
        """The split where its batches are cut fastest for a device."""
        ...

    def collate(self, rows: np.ndarray, view: int | None = None) -> Inputs:
        """Model inputs of some rows.

        Args:
            rows: ``(batch,)`` row numbers.
            view: seed of the random crops and the like; the plain rows without one.
        """
        ...

    def by_length(self, batch_size: int) -> Iterator[np.ndarray]:
        """All rows in batches of similar length, longest first (so memory peaks at once)."""
        ...


class DenseLogits:
    """One vector of logits a row."""

    def __len__(self) -> int:
        raise NotImplementedError

    def new_logits(self, width: int) -> np.ndarray:
        """``(n, width)``."""
        return np.empty((len(self), width), dtype=np.float32)

    def put_logits(self, store: np.ndarray, rows: np.ndarray, logits: np.ndarray) -> None:
        """``logits`` are ``(batch, width)``."""
        store[rows] = logits

    def pick_logits(self, store: Tensor, rows: Tensor) -> Tensor:
        """``(batch, width)``."""
        return store[rows]


class Reader(Protocol):
    """How a family of models reads examples."""

    def encode(self, examples: Any) -> Encoded:
        """Prepare a split in one pass."""
        ...

    def save(self, folder: Path) -> None:
        """Leave beside a model what is needed to read for it."""
        ...

    def differs(self, other: Reader) -> str | None:
        """Why ``other`` reads the same example differently, or nothing."""
        ...
