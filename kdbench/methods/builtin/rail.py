"""RAIL-KD: random intermediate layers."""

from __future__ import annotations

from pydantic import Field

from kdbench.methods.objectives import RandomLayers
from kdbench.methods.registry import register_method
from kdbench.methods.single_stage import TEXT, HintonConfig, SingleStage


@register_method("rail", cite="Haidar et al., Findings of NAACL 2022, arXiv:2109.10164")
class RAILKD(SingleStage):
    """L = hard·CE(y, zS) + kd·T²·KL(pT ‖ pS) + weight·Σ_m ‖gS_m/‖gS_m‖ - gT_n(m)/‖gT_n(m)‖‖², batch mean.

    g is the mean of a layer's states over real tokens, projected linearly (and trained so) into a space that both
    models share. m runs over the student's layers but the last; n(m) are as many of the teacher's layers but the
    last, drawn without replacement and sorted. Only the abstract could be read: that teacher layers are drawn at
    random and all take part over the training is the paper's, the rest is a **reconstruction**: layers drawn
    anew for every update, the distance, the equal weights of 1/3, T = 2 and the 128 dimensions.
    """

    kinds = TEXT

    class Config(HintonConfig):
        """Settings of ``rail``."""

        hard_weight: float = Field(1 / 3, ge=0, description="weight of the CE against labels")
        kd_weight: float = Field(1 / 3, ge=0, description="weight of T²·KL between the logits")
        temperature: float = Field(2.0, gt=0, description="T of T²·KL")
        weight: float = Field(1 / 3, gt=0, description="weight of the layers")
        width: int = Field(128, ge=1, description="dimensions of the shared space")

        def objective(self) -> RandomLayers:
            """The loss with these settings."""
            return RandomLayers(**self.hinton(), weight=self.weight, width=self.width)
