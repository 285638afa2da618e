"""The settings of MATE-KD's augmenter; the work is in ``masked_text_run``, imported when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kdbench.methods.base import MethodConfig

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

    share: ClassVar[float] = 0.5
    teacher_reads: ClassVar[Literal["augmented", "original"]] = "augmented"
    needs_generator: ClassVar[bool] = True
    live_teacher: ClassVar[bool] = True

    def generator_updates(self, student_updates: int) -> int:
        """Ten (``generator_steps``) for every started hundred (``student_steps``), warm-up not counted."""
        return self.generator_steps * -(-student_updates // self.student_steps)

    def start(self, context: AugmenterContext) -> AugmenterRun:
        """Begin one stage."""
        from kdbench.methods.augment.masked_text_run import MaskedTextRun

        return MaskedTextRun(self, context)


class MaskedTextConfig(MethodConfig):
    """The settings of the masked-text augmenter."""

    mask_rate: float = Field(0.3, gt=0, lt=1, description="ρ, share of ordinary tokens that are masked")
    generator_steps: int = Field(10, ge=1, description="generator updates in a round")
    student_steps: int = Field(100, ge=1, description="student updates in a round")
    generator_learning_rate: float = Field(5e-7, gt=0, description="AdamW, constant")
    generator_clip_norm: float = Field(5.0, gt=0, description="largest norm of a generator gradient")
    warmup_steps: int = Field(
        300, ge=0, description="masked-LM updates for a generator that comes without a masked-LM head"
    )

    def augmenter(self, divergence: Literal["soft-ce", "mse"]) -> MaskedText:
        """The augmenter whose generator maximises ``divergence``."""
        fields = {name: getattr(self, name) for name in MaskedTextConfig.model_fields}
        return MaskedText(divergence=divergence, **fields)
