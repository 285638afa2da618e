"""Attention transfer: look where the teacher looks."""

from __future__ import annotations

from pydantic import Field

from kdbench.methods.objectives import AttentionTransfer
from kdbench.methods.registry import register_method
from kdbench.methods.single_stage import IMAGES, HintonConfig, SingleStage


@register_method("at", cite="Zagoruyko & Komodakis, ICLR 2017, arXiv:1612.03928")
class AttentionTransferMethod(SingleStage):
    """L = hard·CE(y, zS) + kd·T²·KL(pT ‖ pS) + weight·Σ over stages of MSE(Q(hS), Q(hT)).

    Q(h) = mean over channels of |h|^power, flattened and brought to length 1. Where the maps of a stage differ in
    size, the larger one is average-pooled first. Student and teacher need as many stages. RepDistiller's weights:
    CE 1, KD 0, attention 1000; power 2.
    """

    kinds = IMAGES

    class Config(HintonConfig):
        """Settings of ``at``."""

        weight: float = Field(1000.0, gt=0, description="weight of the attention maps")
        power: int = Field(2, ge=1, description="p in |h|^p")
        epochs: float = Field(240, gt=0, description="epochs under the paper budget")

        def objective(self) -> AttentionTransfer:
            """The loss with these settings."""
            return AttentionTransfer(**self.hinton(), weight=self.weight, power=self.power)
