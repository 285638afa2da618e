"""Objectives on the layers of text encoders; projections between widths live in ``layer_modules``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from kdbench.errors import MethodError
from kdbench.methods.contract import Objective, ObjectiveSetup
from kdbench.methods.objectives.common import HintonTerms
from kdbench.methods.objectives.features import FeatureTerms


def uniform_layers(student: int, teacher: int) -> list[int]:
    """For every layer m = 1 … M of a student the teacher's layer m·N/M, rounded down; layers count from 1.

    Raises:
        MethodError: the student has more layers than the teacher.
    """
    if student > teacher:
        raise MethodError(f"the student has {student} layers and the teacher {teacher}: there is no layer for each")
    return [m * teacher // student for m in range(1, student + 1)]


def last_layers(student: int, teacher: int) -> list[int]:
    """The teacher's last layers, one for each of the student's; layers count from 1.

    Raises:
        MethodError: the student has more layers than the teacher.
    """
    uniform_layers(student, teacher)
    return list(range(teacher - student + 1, teacher + 1))


@dataclass(frozen=True)
class Patience(FeatureTerms):
    """weight·MSE of normalised [CLS] states of mapped layers, the last one excluded (PKD, Sun et al. 2019).

    Attributes:
        strategy: ``skip`` maps to every few layers of the teacher, ``last`` to its last ones.
    """

    weight: float = 500.0
    strategy: Literal["skip", "last"] = "skip"

    def start(self, setup: ObjectiveSetup) -> Objective:
        """With projections where the widths differ."""
        from kdbench.methods.objectives.layer_modules import PatienceModule

        return PatienceModule(self, setup)


@dataclass(frozen=True)
class CosineStates(FeatureTerms):
    """weight·(1 - cos(hS, hT)) of the last layer's states (DistilBERT, Sanh et al. 2019)."""

    def start(self, setup: ObjectiveSetup) -> Objective:
        """With a projection where the widths differ."""
        from kdbench.methods.objectives.layer_modules import CosineModule

        return CosineModule(self, setup)


@dataclass(frozen=True)
class RandomLayers(FeatureTerms):
    """weight·distance between the student's layers and as many of the teacher's, drawn anew (RAIL-KD, 2022).

    Attributes:
        width: of the space that both models' pooled states are projected into.
    """

    width: int = 128

    def start(self, setup: ObjectiveSetup) -> Objective:
        """With fresh projections."""
        from kdbench.methods.objectives.layer_modules import RandomLayersModule

        return RandomLayersModule(self, setup)


@dataclass(frozen=True)
class TransformerLayers(HintonTerms):
    """MSE of attention scores, hidden states and embeddings (TinyBERT's first stage, Jiao et al. 2020)."""

    hard_weight: float = 0.0
    needs_hidden_states: ClassVar[bool] = True
    needs_attentions: ClassVar[bool] = True  # they tell the number of heads
    needs_projections: ClassVar[bool] = True

    def start(self, setup: ObjectiveSetup) -> Objective:
        """With fresh projections."""
        from kdbench.methods.objectives.layer_modules import TransformerLayersModule

        return TransformerLayersModule(self, setup)


@dataclass(frozen=True)
class SelfRelations(HintonTerms):
    """KL of the self-relations of queries, keys and values of one layer (MiniLMv2, Wang et al. 2021).

    Attributes:
        relation_heads: nothing for the paper's number where it divides both widths, else the next one below.
        teacher_layer: counted from 1; nothing for the paper's.
    """

    hard_weight: float = 0.0
    relation_heads: int | None = None
    teacher_layer: int | None = None
    needs_projections: ClassVar[bool] = True

    def start(self, setup: ObjectiveSetup) -> Objective:
        """With the layer and the heads settled for the shapes at hand."""
        from kdbench.methods.objectives.layer_modules import SelfRelationsModule

        return SelfRelationsModule(self, setup)
