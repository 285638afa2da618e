"""The settings of MATE-KD's augmenter; the work is in ``masked_text_run``, imported when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from kdbench.methods.augment.base import AugmenterContext, AugmenterRun


@dataclass(frozen=True)
class MaskedText:
    """Masked tokens, refilled by a generator that is trained to make student and teacher disagree."""

    divergence: Literal["soft-ce", "mse"]
    mask_rate: float
    generator_steps: int
    student_steps: int
    generator_learning_rate: float
    generator_clip_norm: float
    warmup_steps: int

    needs_generator = True
    live_teacher = True

    def generator_updates(self, student_updates: int) -> int:
        """Ten (``generator_steps``) for every started hundred (``student_steps``), warm-up not counted."""
        return self.generator_steps * -(-student_updates // self.student_steps)

    def start(self, context: AugmenterContext) -> AugmenterRun:
        """Begin one stage."""
        from kdbench.methods.augment.masked_text_run import MaskedTextRun

        return MaskedTextRun(self, context)
