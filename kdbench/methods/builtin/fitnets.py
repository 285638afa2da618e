"""FitNets: a hint from the middle of the teacher."""

from __future__ import annotations

from pydantic import Field

from kdbench.methods.objectives import Hint
from kdbench.methods.registry import register_method
from kdbench.methods.single_stage import IMAGES, HintonConfig, SingleStage


@register_method("fitnets", cite="Romero et al., ICLR 2015, arXiv:1412.6550")
class FitNets(SingleStage):
    """L = hard·CE(y, zS) + kd·T²·KL(pT ‖ pS) + weight·MSE(r(hS), hT), h the maps of one stage.

    The regressor r is a convolution that fits the student's map to the teacher's, batch norm and ReLU; it is trained
    with the student and thrown away. The paper trains up to the hint first and the whole student with Hinton's loss
    after; this is the one-stage form of RepDistiller, with its weights: CE 1, KD 0, hint 100 at the second stage.
    """

    kinds = IMAGES

    class Config(HintonConfig):
        """Settings of ``fitnets``."""

        weight: float = Field(100.0, gt=0, description="weight of the hint")
        layer: int = Field(2, ge=0, description="stage whose output is the hint; 0 is the stem")
        epochs: float = Field(240, gt=0, description="epochs under the paper budget")

        def objective(self) -> Hint:
            """The loss with these settings."""
            return Hint(**self.hinton(), weight=self.weight, layer=self.layer)
