"""DistilBERT's triple loss."""

from __future__ import annotations

from pydantic import Field

from kdbench.methods.objectives import CosineStates
from kdbench.methods.registry import register_method
from kdbench.methods.single_stage import TEXT, HintonConfig, SingleStage


@register_method("distilbert", cite="Sanh et al., 2019, arXiv:1910.01108")
class DistilBERTLoss(SingleStage):
    """L = hard·CE(y, zS) + kd·T²·KL(pT ‖ pS) + cosine·(1 - cos(hS, hT)), h the last layer's states of real tokens.

    The weights are those of the released training, 2 : 5 : 1, T = 2. There the loss trains a masked language model
    before any task and CE is the masked tokens'; here it is the task's. Where the widths differ a linear projection
    of hS is trained: a deviation, the paper's models are of one width.
    """

    kinds = TEXT

    class Config(HintonConfig):
        """Settings of ``distilbert``."""

        hard_weight: float = Field(2.0, ge=0, description="weight of the CE against labels")
        kd_weight: float = Field(5.0, ge=0, description="weight of T²·KL between the logits")
        temperature: float = Field(2.0, gt=0, description="T of T²·KL")
        cosine_weight: float = Field(1.0, gt=0, description="weight of the directions of the hidden states")

        def objective(self) -> CosineStates:
            """The loss with these settings."""
            return CosineStates(**self.hinton(), weight=self.cosine_weight)
