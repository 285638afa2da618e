"""What an augmenter is given at the start of a stage, and what it must be able to do during it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from transformers import PreTrainedModel

from kdbench.inputs.base import Inputs, Reader
from kdbench.methods.contract import Outputs


@dataclass(frozen=True)
class AugmenterContext:
    """The world of one stage.

    Attributes:
        student: the model in training.
        reader: how all models read examples.
        generator: builds the pair's generator, ready to use; called at most once.
        batch: inputs of a training batch by number, from an order of its own.
        regression: whether logits are scores.
        seed: of everything random in the augmenter.
        precision: ``bf16`` or ``fp32`` for the augmenter's own updates.
    """

    student: PreTrainedModel
    reader: Reader
    generator: Callable[[int], PreTrainedModel]
    batch: Callable[[int], Inputs]
    regression: bool
    seed: int
    precision: str


@dataclass(frozen=True)
class Batch:
    """What is to be augmented.

    Attributes:
        inputs: what the student and the teacher read.
        labels: ``(batch,)``.
        teacher: the teacher's outputs on ``inputs``, its logits scaled.
        teacher_model: the teacher itself, frozen; asking for it loads it.
    """

    inputs: Inputs
    labels: Tensor
    teacher: Outputs
    teacher_model: Callable[[], PreTrainedModel]


class AugmenterRun(Protocol):
    """An augmenter at work on one stage."""

    def before_update(self, step: int, teacher: Callable[[], PreTrainedModel]) -> None:
        """Called before student update ``step`` of the stage: the place for adversarial updates."""
        ...

    def augment(self, batch: Batch, step: int) -> Inputs:
        """The extra inputs that go with a batch; the original is left as it is.

        They may hold several views of every example: ``k`` times the batch, one whole view after the other.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """Everything needed to go on after an interruption."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from :meth:`state`."""
        ...
