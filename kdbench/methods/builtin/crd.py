"""Contrastive representation distillation."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kdbench.methods.base import with_defaults
from kdbench.methods.objectives import Contrastive
from kdbench.methods.registry import register_method
from kdbench.methods.single_stage import CLASSES, HintonConfig, SingleStage


@register_method("crd", cite="Tian, Krishnan & Isola, ICLR 2020, arXiv:1910.10699")
class CRD(SingleStage):
    """L = hard·CE(y, zS) + kd·T²·KL(pT ‖ pS) + weight·(N(gS, bank of T) + N(gT, bank of S)).

    N(g, bank) = -log h(g·b) - Σ log(1 - h(g·b')), h = P/(P + K/n), P = exp(·/τ)/Z: tell the bank's embedding b of
    the same example from K = 16384 embeddings b' of examples of other classes, drawn with replacement among the n of
    the training split; K is smaller where fewer are of other classes. Embeddings g are linear maps of the features
    to 128 dimensions and length 1; when an example comes by, its embeddings in the banks move half-way to the new
    ones. Z is estimated on the first batch. Features are the pooled ones of images, the last layer's [CLS] states of
    texts (an extension: the paper has images only). RepDistiller's weights: CE 1, KD 0, 0.8; τ = 0.07.
    """

    kinds = CLASSES
    reasons: ClassVar = {"question-answering": "its negatives are examples of other classes, and answers have none"}

    class Config(HintonConfig):
        """Settings of ``crd``."""

        weight: float = Field(0.8, gt=0, description="weight of the contrast")
        negatives: int = Field(16384, ge=1, description="K, examples of other classes, at most")
        width: int = Field(128, ge=1, description="dimensions of the embeddings")
        contrast_temperature: float = Field(0.07, gt=0, description="τ, of the scores")
        momentum: float = Field(0.5, ge=0, lt=1, description="share that an embedding in a bank keeps")

        def objective(self) -> Contrastive:
            """The loss with these settings."""
            return Contrastive(
                **self.hinton(),
                weight=self.weight,
                negatives=self.negatives,
                width=self.width,
                contrast_temperature=self.contrast_temperature,
                momentum=self.momentum,
            )

    ImageConfig = with_defaults(Config, epochs=240)
