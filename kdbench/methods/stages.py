"""Teachers by reference, and the stages of a student's training. Plain data: nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from kdbench.methods.contract import Augmenter, Need, Objective


@dataclass(frozen=True)
class TeacherRef:
    """A frozen teacher: a checkpoint of the trajectory, an assistant, or random weights."""

    kind: Literal["checkpoint", "assistant", "random"]
    index: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """One footprint of the teacher: where it was left and how good it was on the selection split."""

    index: int
    epoch: float
    step: int
    score: float


@dataclass(frozen=True)
class Trajectory:
    """The ordered checkpoints of the teacher, and the assistants the pair offers."""

    checkpoints: tuple[Checkpoint, ...]
    assistants: int = 0

    @classmethod
    def nominal(cls, length: int, assistants: int = 0) -> Trajectory:
        """A trajectory of ``length`` checkpoints that does not exist yet, for planning."""
        return cls(tuple(Checkpoint(i, float(i + 1), i + 1, float(i)) for i in range(length)), assistants)

    def __len__(self) -> int:
        return len(self.checkpoints)

    @property
    def final(self) -> TeacherRef:
        """The last checkpoint."""
        return TeacherRef("checkpoint", len(self.checkpoints) - 1)

    @property
    def best(self) -> TeacherRef:
        """The checkpoint with the best selection score; the earliest of equals."""
        scores = [checkpoint.score for checkpoint in self.checkpoints]
        return TeacherRef("checkpoint", scores.index(max(scores)))

    def named(self, which: Literal["best", "final"]) -> TeacherRef:
        """``best`` or ``final``, as methods' configurations say it."""
        return self.best if which == "best" else self.final


@dataclass(frozen=True)
class Leg:
    """Consecutive updates with one teacher and one scale Φ of its logits."""

    steps: int
    teacher: TeacherRef | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class Stage:
    """One uninterrupted stretch of student training: one optimizer, one learning-rate schedule.

    Attributes:
        name: shown in progress and logs.
        legs: who teaches for how long, in order.
        objective: the loss.
        augmenter: extra inputs, or none.
        start: the student it starts from: the ``last`` of the previous stage or its ``best``.
    """

    name: str
    legs: tuple[Leg, ...]
    objective: Objective
    augmenter: Augmenter | None = None
    start: Literal["last", "best"] = "last"

    @property
    def steps(self) -> int:
        """Updates in this stage."""
        return sum(leg.steps for leg in self.legs)

    @cached_property
    def each_leg(self) -> list[Leg]:
        """The leg of every update."""
        return [leg for leg in self.legs for _ in range(leg.steps)]

    @property
    def distills(self) -> bool:
        """Whether a teacher takes part."""
        return self.objective.uses_teacher

    def needs(self, what: Need) -> bool:
        """Whether the objective asks for more than logits, by ``needs_hidden_states`` and its like."""
        return bool(getattr(self.objective, f"needs_{what}", False))

    @property
    def live_teacher(self) -> bool:
        """Whether cached logits are not enough for original inputs."""
        return any(self.needs(what) for what in get_args(Need))

    @property
    def taught(self) -> int:
        """Updates in which a teacher takes part."""
        return sum(leg.steps for leg in self.legs if leg.teacher) if self.distills else 0

    @property
    def adversarial_passes(self) -> int:
        """Forward and backward passes of the student inside its augmenter, in updates."""
        return self.taught * int(getattr(self.augmenter, "inner_passes", 0))

    def live_teacher_updates(self) -> int:
        """Forward passes of the teacher during the stage, in updates."""
        return self.taught * (int(self.live_teacher) + int(self.augmenter is not None and self.augmenter.live_teacher))
