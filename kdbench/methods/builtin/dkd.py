"""Decoupled knowledge distillation."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kdbench.methods.base import with_defaults
from kdbench.methods.objectives import DecoupledKD
from kdbench.methods.registry import register_method
from kdbench.methods.single_stage import CLASSES, SingleStage, SingleStageConfig


@register_method("dkd", cite="Zhao et al., CVPR 2022, arXiv:2203.08679")
class DKD(SingleStage):
    """L = hard·CE(y, zS) + w·T²·(α·TCKD + β·NCKD).

    With pT the softmax of zT/T and t the target class: TCKD = KL of (pT[t], 1 - pT[t]) from the student's pair,
    NCKD = KL among the other classes, renormalised. Hinton's KL is TCKD + (1 - pT[t])·NCKD: the more certain the
    teacher, the less of NCKD it passes on, which the fixed β undoes. w rises linearly from 0 to 1 over ``warmup``:
    20 of 240 epochs in the released CIFAR-100 settings, a share of the stage here. CE weight 1, α = 1, β = 8, T = 4.

    **Two classes**: no class is left beside the target and the other, so NCKD is 0 and β has no effect; what
    remains is Hinton's loss with weight α.
    """

    kinds = CLASSES
    reasons: ClassVar = {
        "question-answering": "its target is one class among a fixed number; the tokens of a text are others each time"
    }

    class Config(SingleStageConfig):
        """Settings of ``dkd``."""

        hard_weight: float = Field(1.0, ge=0, description="weight of the CE against labels")
        alpha: float = Field(1.0, ge=0, description="weight of the target class against the rest")
        beta: float = Field(8.0, ge=0, description="weight of the other classes among themselves")
        temperature: float = Field(4.0, gt=0, description="T, of both softmaxes")
        warmup: float = Field(20 / 240, ge=0, le=1, description="share of the stage in which both rise from 0")

        def objective(self) -> DecoupledKD:
            """The loss with these settings."""
            return DecoupledKD(self.hard_weight, self.alpha, self.beta, self.temperature, self.warmup)

    ImageConfig = with_defaults(Config, epochs=240)
