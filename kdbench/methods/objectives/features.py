"""Objectives on features of whole examples; the weights of those that have any live in ``feature_modules``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from kdbench.errors import MethodError
from kdbench.methods.contract import Context, Objective, ObjectiveSetup, Outputs
from kdbench.methods.objectives.common import HintonTerms, required

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FeatureTerms(HintonTerms):
    """hard·CE + kd·T²·KL + a comparison of hidden states.

    Attributes:
        weight: of the comparison.
    """

    weight: float = 1.0
    needs_hidden_states: ClassVar[bool] = True


@dataclass(frozen=True)
class Hint(FeatureTerms):
    """weight·MSE(regressor(hS), hT) at one stage of the networks (FitNets, Romero et al. 2015).

    Attributes:
        layer: which of the hidden states; 0 is the stem.
    """

    weight: float = 100.0
    layer: int = 2

    def start(self, setup: ObjectiveSetup) -> Objective:
        """With a fresh regressor."""
        from kdbench.methods.objectives.feature_modules import HintModule

        return HintModule(self, setup)


@dataclass(frozen=True)
class AttentionTransfer(FeatureTerms):
    """weight·Σ over stages of MSE between attention maps (Zagoruyko & Komodakis 2017)."""

    weight: float = 1000.0
    power: int = 2

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """Every stage's map beside Hinton's loss; the stem and the pooled features have none."""
        import torch

        from kdbench.methods import feature_losses

        mine, theirs = (required(outputs.hidden_states, "hidden states")[1:-1] for outputs in (student, teacher))
        if len(mine) != len(theirs):
            raise MethodError(
                f"attention transfer pairs the stages of student and teacher one by one, and they have {len(mine)} "
                f"and {len(theirs)}: choose models with as many stages"
            )
        pairs = zip(mine, theirs, strict=True)
        distances = [feature_losses.attention_distance(left, right, self.power) for left, right in pairs]
        return super().soft(student, teacher, context) | {"attention": self.weight * torch.stack(distances).sum()}


@dataclass(frozen=True)
class SimilarityPreserving(FeatureTerms):
    """weight·‖G̃S - G̃T‖²/batch² (Tung & Mori 2019): of the last maps of images, the last [CLS] state of texts."""

    weight: float = 3000.0

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """Similarities within the batch beside Hinton's loss."""
        from kdbench.methods import feature_losses

        states = [required(outputs.hidden_states, "hidden states") for outputs in (student, teacher)]
        images = states[0][-1].ndim == 2
        mine, theirs = (s[-2] if images else feature_losses.example_features(s) for s in states)
        distance = feature_losses.similarity_distance(mine, theirs)
        return super().soft(student, teacher, context) | {"similarity": self.weight * distance}


@dataclass(frozen=True)
class Relations(HintonTerms):
    """Distances and angles between examples of the batch (RKD, Park et al. 2019).

    Attributes:
        distance_weight: of the pairwise distances.
        angle_weight: of the angles in triplets.
    """

    distance_weight: float = 25.0
    angle_weight: float = 50.0
    needs_hidden_states: ClassVar[bool] = True

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """Both relations beside Hinton's loss."""
        from kdbench.methods import feature_losses

        mine, theirs = (
            feature_losses.example_features(required(outputs.hidden_states, "hidden states"))
            for outputs in (student, teacher)
        )
        return super().soft(student, teacher, context) | {
            "distance": self.distance_weight * feature_losses.distance_relation(mine, theirs),
            "angle": self.angle_weight * feature_losses.angle_relation(mine, theirs),
        }


@dataclass(frozen=True)
class Contrastive(FeatureTerms):
    """weight·noise-contrastive loss against banks of all examples' embeddings (CRD, Tian et al. 2020).

    Attributes:
        negatives: K, of other classes, for every example.
        width: of the embeddings.
        contrast_temperature: of the scores.
        momentum: share of its old value that an embedding in a bank keeps when its example comes by.
    """

    weight: float = 0.8
    negatives: int = 16384
    width: int = 128
    contrast_temperature: float = 0.07
    momentum: float = 0.5

    def start(self, setup: ObjectiveSetup) -> Objective:
        """With fresh embeddings and banks."""
        from kdbench.methods.objectives.feature_modules import ContrastiveModule

        return ContrastiveModule(self, setup)
