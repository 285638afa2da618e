"""DIST: keep the teacher's relations, not its probabilities."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kdbench.methods.base import with_defaults
from kdbench.methods.objectives import RelationalLogits
from kdbench.methods.registry import register_method
from kdbench.methods.single_stage import CLASSES, SingleStage, SingleStageConfig


@register_method("dist", cite="Huang et al., NeurIPS 2022, arXiv:2205.10536")
class DIST(SingleStage):
    """L = hard·CE(y, zS) + T²·(β·mean_i(1 - ρ(pS[i, :], pT[i, :])) + γ·mean_c(1 - ρ(pS[:, c], pT[:, c]))).

    ρ is Pearson's correlation: over the classes of one example (inter-class), and over the examples of a batch for
    one class (intra-class). CE weight 1, β = γ = 2; T = 4 on CIFAR, 1 elsewhere. Small batches make the second
    correlation noisy. With two classes ρ of an example is ±1, whatever the probabilities: that term only asks for
    the same order of the two, and has no gradient.
    """

    kinds = CLASSES
    reasons: ClassVar = {
        "question-answering": "its columns compare the examples of a batch by class, and token i of one text has "
        "nothing to do with token i of another"
    }

    class Config(SingleStageConfig):
        """Settings of ``dist``."""

        hard_weight: float = Field(1.0, ge=0, description="weight of the CE against labels")
        beta: float = Field(2.0, ge=0, description="weight of the inter-class relation")
        gamma: float = Field(2.0, ge=0, description="weight of the intra-class relation")
        temperature: float = Field(1.0, gt=0, description="T, of both softmaxes")

        def objective(self) -> RelationalLogits:
            """The loss with these settings."""
            return RelationalLogits(self.hard_weight, self.beta, self.gamma, self.temperature)

    ImageConfig = with_defaults(Config, temperature=4.0, epochs=240)
