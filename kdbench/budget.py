"""Budgets: how long, how fast and in which precision models are trained. Plain data, no torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from kdbench.schema import Spec, explain


class Budget(Spec):
    """One budget of a suite. Every field that can change the numbers of a cell is part of its key."""

    epochs: float = Field(3, gt=0, description="student epochs: the same number of updates for every method")
    paper: bool = Field(False, description="let each method train for its paper's epochs instead")
    teacher_epochs: int = Field(3, ge=1, description="teacher epochs")
    checkpoints: int | None = Field(
        None, ge=1, description="checkpoints of the teacher's trajectory, at equal intervals [one for each epoch]"
    )
    batch_size: int = Field(32, ge=1, description="examples in an update")
    learning_rate: float = Field(5e-5, gt=0, description="peak learning rate of students")
    teacher_learning_rate: float = Field(3e-5, gt=0, description="peak learning rate of teachers")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="sgd decays every weight, as its papers do")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    schedule: Literal["linear", "step", "cosine"] = Field(
        "linear", description="how the learning rate falls in a stage; step: to a tenth at 50 % and 75 %"
    )
    warmup: float = Field(0.06, ge=0, lt=1, description="share of a stage's updates with rising learning rate")
    weight_decay: float = Field(0.01, ge=0, description="decay; AdamW spares biases and norms")
    clip_norm: float = Field(1.0, gt=0, description="largest norm of a gradient")
    max_train: int | None = Field(None, ge=8, description="training examples used, chosen by content hash")
    max_evaluation: int | None = Field(None, ge=1, description="examples of each reported set, by content hash")
    max_corrupted: int | None = Field(None, ge=1, description="examples that are corrupted [max_evaluation]")
    attack_examples: int | None = Field(None, ge=1, description="examples attacked, in place of the suite's number")
    seeds: tuple[int, ...] | None = Field(None, min_length=1, description="student seeds, in place of the suite's")
    tasks: tuple[str, ...] = Field((), description="tasks that it is meant for, unless others are asked for [all]")
    pairs: tuple[str, ...] = Field((), description="pairs that it is meant for, unless others are asked for [all]")
    attacks: tuple[str, ...] = Field(
        (), description="those of the suite's attacks that it can afford [all]", exclude_if=lambda names: not names
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of training, auto is bf16 where the hardware has it; evaluations are always fp32"
    )
    threads: int = Field(1, ge=1, description="CPU threads in a cell: part of the result's bytes, hence fixed")
    images: dict[str, Any] = Field(default_factory=dict, description="what is different for image tasks")

    @model_validator(mode="after")
    def _valid_for_images(self) -> Budget:
        if not self.images:
            return self
        refused = sorted({"images", "seeds", "paper", "tasks", "pairs", "attacks"} & set(self.images))
        if refused:
            raise ValueError(f"images: {', '.join(refused)} cannot differ from the rest of the budget")
        try:
            self.of_modality("image")
        except ValidationError as error:
            raise ValueError(explain(error, Budget, "images")) from None
        return self

    @property
    def trajectory_length(self) -> int:
        """Checkpoints that a teacher leaves."""
        return self.checkpoints or self.teacher_epochs

    def of_modality(self, modality: Literal["text", "image"]) -> Budget:
        """The budget of one modality's tasks, without the exceptions for the other."""
        plain = self.model_dump(exclude={"images"})
        return Budget.model_validate(plain | (self.images if modality == "image" else {}))


@dataclass(frozen=True)
class Updates:
    """The student updates a method may spend on one task.

    Attributes:
        total: updates under a matched budget.
        per_epoch: updates in one pass over the training split.
        paper: whether epochs given to :meth:`split` are meant literally.
    """

    total: int
    per_epoch: int
    paper: bool = False

    @classmethod
    def of(cls, budget: Budget, train_examples: int) -> Updates:
        """The updates ``budget`` grants on ``train_examples`` examples."""
        per_epoch = max(1, math.ceil(train_examples / budget.batch_size))
        return cls(max(1, round(budget.epochs * per_epoch)), per_epoch, budget.paper)

    def split(self, epochs: Sequence[float]) -> list[int]:
        """Updates of consecutive stages that take ``epochs`` in the method's paper.

        Under a matched budget only the proportions count and the result sums to ``total`` exactly;
        under the paper's budget each stage gets its own epochs. No stage gets fewer than one update
        while there are enough to go round.
        """
        if self.paper:
            return [max(1, round(length * self.per_epoch)) for length in epochs]
        bounds = [round(self.total * sum(epochs[:i]) / sum(epochs)) for i in range(len(epochs) + 1)]
        parts = [after - before for before, after in itertools.pairwise(bounds)]
        while 0 in parts and max(parts) > 1:
            parts[parts.index(max(parts))] -= 1
            parts[parts.index(0)] += 1
        return parts
