"""What goes into a training, where it stands, and what it leaves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from kdbench.errors import KDBenchError
from kdbench.inputs.base import Encoded


class TrainingError(KDBenchError):
    """Training went wrong in a way that no restart will mend."""


@dataclass(frozen=True)
class TrainingData:
    """What the trainer may see: the training split and the selection split carved out of it.

    Attributes:
        metric: name of the selection score.
        score: that of a model's logits on the selection split; more is better.
        chance: what a model reaches that has learnt nothing; nothing where that is not defined.
        regression: whether logits are scores.
    """

    train: Encoded
    selection: Encoded
    metric: str
    score: Callable[[np.ndarray], float]
    regression: bool
    chance: float | None = None


@dataclass(frozen=True)
class Progress:
    """A moment of a training, for people to watch."""

    stage: str
    step: int
    total: int
    terms: dict[str, float]


@dataclass
class Cursor:
    """Where the training stands; all of it is in every checkpoint."""

    stage: int = 0
    step: int = 0  # updates done in this stage
    done: int = 0  # updates done in all stages
    best_score: float = -math.inf
    best_step: int = -1
    live_teacher_updates: int = 0
    cached_teacher_examples: int = 0
    log: list[str] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves.

    Attributes:
        model: the best student of the last stage, by the selection metric; the later of equals.
        score: its selection score.
        scores: every selection: stage, updates done, score.
        log: lines of JSON, one per ``LOG_EVERY`` updates and selection.
        live_teacher_updates: forward passes of a teacher, in updates.
        cached_teacher_examples: examples whose teacher logits were asked of the shared cache.
    """

    model: PreTrainedModel
    score: float
    scores: list[dict[str, Any]]
    log: list[str]
    live_teacher_updates: int
    cached_teacher_examples: int
