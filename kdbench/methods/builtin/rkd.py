"""Relational knowledge distillation."""

from __future__ import annotations

from pydantic import Field

from kdbench.methods.base import with_defaults
from kdbench.methods.objectives import Relations
from kdbench.methods.registry import register_method
from kdbench.methods.single_stage import HintonConfig, SingleStage


@register_method("rkd", cite="Park et al., CVPR 2019, arXiv:1904.05068")
class RKD(SingleStage):
    """L = hard·CE(y, zS) + kd·T²·KL(pT ‖ pS) + distance·H(dS, dT) + angle·H(aS, aT), H the Huber loss.

    d are the distances of all pairs in the batch, each model's in units of its own mean; a the cosines of the angles
    at every example between every two others. Features are the pooled ones of images, the last layer's [CLS] states
    of texts (an extension: the paper has images only). RepDistiller's weights: CE 1, KD 0, distance 25, angle 50.
    """

    class Config(HintonConfig):
        """Settings of ``rkd``."""

        distance_weight: float = Field(25.0, ge=0, description="weight of the distances")
        angle_weight: float = Field(50.0, ge=0, description="weight of the angles")

        def objective(self) -> Relations:
            """The loss with these settings."""
            return Relations(**self.hinton(), distance_weight=self.distance_weight, angle_weight=self.angle_weight)

    ImageConfig = with_defaults(Config, epochs=240)
