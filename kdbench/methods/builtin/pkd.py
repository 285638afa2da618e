"""Patient knowledge distillation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kdbench.methods.objectives import Patience
from kdbench.methods.registry import register_method
from kdbench.methods.single_stage import TEXT, HintonConfig, SingleStage


@register_method("pkd", cite="Sun et al., EMNLP 2019, arXiv:1908.09355")
class PKD(SingleStage):
    """L = hard·CE(y, zS) + kd·T²·KL(pT ‖ pS) + β·MSE of hS/‖hS‖ and hT/‖hT‖, h the [CLS] states of mapped layers.

    ``skip`` maps layer m of the student's M to layer m·N/M of the teacher's N (12 to 6: 2, 4, 6, 8, 10), ``last`` to
    its last ones (7 … 11); the last layer of both is left out, the logits stand for it. The MSE is a mean over batch,
    layers and width. The paper searches α, T and β; these are the released defaults (α = 0.7 is the teacher's, T 10,
    β 500). The paper's models are of one width; where they are not, a linear projection is trained for every mapped
    layer: a deviation.
    """

    kinds = TEXT

    class Config(HintonConfig):
        """Settings of ``pkd``."""

        hard_weight: float = Field(0.3, ge=0, description="weight of the CE against labels, 1 - α in the paper")
        kd_weight: float = Field(0.7, ge=0, description="weight of T²·KL between the logits, α in the paper")
        temperature: float = Field(10.0, gt=0, description="T of T²·KL")
        beta: float = Field(500.0, gt=0, description="weight of the hidden states")
        strategy: Literal["skip", "last"] = Field("skip", description="which layers of the teacher are mapped to")
        epochs: float = Field(4, gt=0, description="epochs under the paper budget")

        def objective(self) -> Patience:
            """The loss with these settings."""
            return Patience(**self.hinton(), weight=self.beta, strategy=self.strategy)
