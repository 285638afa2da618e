"""Logit standardisation: distil the order and the spacing of the logits, not their scale."""

from __future__ import annotations

from pydantic import Field

from kdbench.methods.base import with_defaults
from kdbench.methods.objectives import StandardizedKD
from kdbench.methods.registry import register_method
from kdbench.methods.single_stage import CHOICES, HintonConfig, SingleStage


@register_method("logit-std", cite="Sun et al., CVPR 2024, arXiv:2403.01427")
class LogitStandardization(SingleStage):
    """L = hard·CE(y, zS) + kd·T²·KL(softmax(Z(zT)/T) ‖ softmax(Z(zS)/T)), Z(z) = (z - mean(z)) / deviation(z).

    Mean and deviation are those of one example's logits. The deviation is the sample's (K - 1), as in the released
    code and the paper's figure 2; its algorithm 1 is written with K, which amounts to T·√(K/(K-1)). CE weight 0.1,
    KD weight 9, T = 2. The scale of either model's logits has no influence, hence Φ of an annealed teacher neither.
    With two classes Z is ±0.71 whatever the logits: only the teacher's order is left, without a gradient.
    """

    kinds = CHOICES

    class Config(HintonConfig):
        """Settings of ``logit-std``."""

        hard_weight: float = Field(0.1, ge=0, description="weight of the CE against labels")
        kd_weight: float = Field(9.0, gt=0, description="weight of T²·KL between the standardised logits")
        temperature: float = Field(2.0, gt=0, description="T, of both softmaxes")

        def objective(self) -> StandardizedKD:
            """The loss with these settings."""
            return StandardizedKD(**self.hinton())

    ImageConfig = with_defaults(Config, epochs=240)
