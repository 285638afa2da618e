"""Objectives: frozen settings that turn the outputs of student and teacher into named loss terms.

Nothing here imports torch before a loss is computed, so that methods can be planned without it. An objective with
weights of its own has a ``start`` that makes a module for one stage.
"""

from kdbench.methods.objectives.common import supervised_loss
from kdbench.methods.objectives.features import (
    AttentionTransfer,
    Contrastive,
    Hint,
    Relations,
    SimilarityPreserving,
)
from kdbench.methods.objectives.layers import (
    CosineStates,
    Patience,
    RandomLayers,
    SelfRelations,
    TransformerLayers,
)
from kdbench.methods.objectives.logits import (
    ContinuationObjective,
    CrossEntropy,
    DecoupledKD,
    KDObjective,
    LogitMSE,
    RelationalLogits,
    StandardizedKD,
)

__all__ = [
    "AttentionTransfer",
    "ContinuationObjective",
    "Contrastive",
    "CosineStates",
    "CrossEntropy",
    "DecoupledKD",
    "Hint",
    "KDObjective",
    "LogitMSE",
    "Patience",
    "RandomLayers",
    "RelationalLogits",
    "Relations",
    "SelfRelations",
    "SimilarityPreserving",
    "StandardizedKD",
    "TransformerLayers",
    "supervised_loss",
]
