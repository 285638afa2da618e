"""Kinds of task, and the modality that each belongs to."""

from __future__ import annotations

from typing import Literal

Kind = Literal["text-classification", "text-regression", "image-classification"]
KINDS: tuple[Kind, ...] = ("text-classification", "text-regression", "image-classification")
"""Kinds of task; what stands before the dash is the modality."""


Modality = Literal["text", "image"]


def modality(kind: str) -> Modality:
    """``text`` or ``image``: which pairs, attacks and input formats go with a kind of task."""
    return "image" if kind.startswith("image-") else "text"
