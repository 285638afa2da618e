"""Similarity-preserving distillation."""

from __future__ import annotations

from pydantic import Field

from kdbench.methods.base import with_defaults
from kdbench.methods.objectives import SimilarityPreserving
from kdbench.methods.registry import register_method
from kdbench.methods.single_stage import HintonConfig, SingleStage


@register_method("sp", cite="Tung & Mori, ICCV 2019, arXiv:1907.09682")
class SP(SingleStage):
    """L = hard·CE(y, zS) + kd·T²·KL(pT ‖ pS) + weight·‖G̃S - G̃T‖²/batch².

    G̃ is the Gram matrix of the batch's features with every row brought to length 1: inputs that are similar for the
    teacher shall be similar for the student. Features are the last maps of images, flattened; the last layer's
    [CLS] states of texts (an extension: the paper has images only). RepDistiller's weights: CE 1, KD 0, 3000.
    """

    class Config(HintonConfig):
        """Settings of ``sp``."""

        weight: float = Field(3000.0, gt=0, description="weight of the similarities")

        def objective(self) -> SimilarityPreserving:
            """The loss with these settings."""
            return SimilarityPreserving(**self.hinton(), weight=self.weight)

    ImageConfig = with_defaults(Config, epochs=240)
