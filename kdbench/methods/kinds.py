"""Kinds of task, and the modality that each belongs to."""

from __future__ import annotations

from typing import Literal

Kind = Literal["text-classification", "text-regression", "image-classification", "question-answering"]
KINDS: tuple[Kind, ...] = ("text-classification", "text-regression", "image-classification", "question-answering")
"""Kinds of task. Question answering is extractive: the answer is a span of a given text."""


Modality = Literal["text", "image"]


def modality(kind: str) -> Modality:
    """``text`` or ``image``: which pairs, attacks and input formats go with a kind of task."""
    return "image" if kind.startswith("image-") else "text"
