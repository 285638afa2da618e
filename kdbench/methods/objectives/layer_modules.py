"""Layer maps and projections of the objectives in ``layers``."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

from kdbench.errors import MethodError
from kdbench.methods import token_losses
from kdbench.methods.contract import Context, ObjectiveSetup, Outputs
from kdbench.methods.feature_losses import widened
from kdbench.methods.objectives.common import required
from kdbench.methods.objectives.layers import (
    CosineStates,
    Patience,
    RandomLayers,
    SelfRelations,
    TransformerLayers,
    last_layers,
    uniform_layers,
)
from kdbench.methods.objectives.module import ObjectiveModule


def _states(outputs: Outputs) -> tuple[Tensor, ...]:
    """Embeddings and every layer's states, so that number m is that of layer m."""
    return required(outputs.hidden_states, "hidden states")


def _counts(setup: ObjectiveSetup) -> tuple[int, int]:
    """Layers of student and teacher."""
    return len(_states(setup.student)) - 1, len(_states(setup.teacher)) - 1


def _inner_layers(name: str, setup: ObjectiveSetup) -> tuple[int, int]:
    """Layers of student and teacher, the last one of each left out.

    Raises:
        MethodError: the student has no other layer, or more of them than the teacher.
    """
    student, teacher = _counts(setup)
    if student < 2:
        raise MethodError(f"{name} compares layers before the last one: a student of {student} layer has none")
    uniform_layers(student, teacher)
    return student - 1, teacher - 1


def _widths(setup: ObjectiveSetup) -> tuple[int, int]:
    return _states(setup.student)[-1].shape[-1], _states(setup.teacher)[-1].shape[-1]


def _bridge(student: int, teacher: int) -> nn.Module:
    """From one width to another: nothing where they are the same, as in the papers."""
    return nn.Identity() if student == teacher else nn.Linear(student, teacher, bias=False)


def _project(layer: nn.Module, states: Tensor) -> Tensor:
    """A projection applied in the precision of its weights."""
    weight = next(layer.parameters(), None)
    return layer(widened(states) if weight is None else states.to(weight.dtype))  # type: ignore[no-any-return]


class PatienceModule(ObjectiveModule):
    """PKD's layer map, and a projection of every mapped layer where the widths differ."""

    def __init__(self, settings: Patience, setup: ObjectiveSetup) -> None:
        super().__init__(settings)
        self._weight = settings.weight
        student, teacher = _inner_layers("pkd", setup)
        # both maps are the whole models': their last layers pair up and are dropped
        layers = uniform_layers if settings.strategy == "skip" else last_layers
        self.map = list(enumerate(layers(student + 1, teacher + 1)[:-1], start=1))
        self.bridges = nn.ModuleList(_bridge(*_widths(setup)) for _ in self.map)

    def terms(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """weight·MSE of the normalised [CLS] states, mean over layers."""
        mine, theirs = _states(student), _states(teacher)
        left = [_project(bridge, mine[m][:, 0]) for bridge, (m, _) in zip(self.bridges, self.map, strict=True)]
        right = [widened(theirs[n][:, 0]) for _, n in self.map]
        return {"patience": self._weight * token_losses.normalized_mse(torch.stack(left), torch.stack(right))}


class CosineModule(ObjectiveModule):
    """DistilBERT's cosine, and a projection where the widths differ."""

    def __init__(self, settings: CosineStates, setup: ObjectiveSetup) -> None:
        super().__init__(settings)
        self._weight = settings.weight
        self.bridge = _bridge(*_widths(setup))

    def terms(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """weight·(1 - cos) of the last states of real tokens."""
        mine, theirs = _project(self.bridge, _states(student)[-1]), _states(teacher)[-1]
        mask = token_losses.real_tokens(context.inputs, theirs)
        return {"cosine": self._weight * token_losses.cosine_distance(mine, theirs, mask)}


class RandomLayersModule(ObjectiveModule):
    """RAIL-KD's draw and its projections into one space."""

    def __init__(self, settings: RandomLayers, setup: ObjectiveSetup) -> None:
        super().__init__(settings)
        self._weight = settings.weight
        self.student_layers, self.teacher_layers = _inner_layers("rail", setup)
        student, teacher = _widths(setup)
        self.student_projection = nn.Linear(student, settings.width, bias=False)
        self.teacher_projection = nn.Linear(teacher, settings.width, bias=False)

    def draw(self, seed: int) -> list[int]:
        """The teacher's layers of one update, in order, counted from 1."""
        return sorted(random.Random(seed).sample(range(1, self.teacher_layers + 1), self.student_layers))  # noqa: S311

    def terms(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """weight·Σ over layers of the squared distance between normalised projections."""
        mine, theirs = _states(student), _states(teacher)
        mask = token_losses.real_tokens(context.inputs, theirs[-1])
        left = torch.stack([token_losses.pooled(states, mask) for states in mine[1:-1]])
        right = torch.stack([token_losses.pooled(theirs[n], mask) for n in self.draw(context.seed)])
        left, right = _project(self.student_projection, left), _project(self.teacher_projection, right)
        distances = token_losses.normalized_mse(left, right) * left.shape[-1]  # squared norm, mean over layers
        return {"layers": self._weight * self.student_layers * distances}


class TransformerLayersModule(ObjectiveModule):
    """TinyBERT's layer map and the projections W_h of hidden states and W_e of embeddings."""

    def __init__(self, settings: TransformerLayers, setup: ObjectiveSetup) -> None:
        super().__init__(settings)
        self.map = list(enumerate(uniform_layers(*_counts(setup)), start=1))
        heads = [required(o.attentions, "attentions")[0].shape[1] for o in (setup.student, setup.teacher)]
        if heads[0] != heads[1]:
            raise MethodError(
                f"tinybert compares attention head by head: the student has {heads[0]} heads and the teacher "
                f"{heads[1]}, choose a pair with as many"
            )
        self.heads = heads[0]
        self.hidden_projection = nn.Linear(*_widths(setup), bias=False)
        embeddings = [_states(o)[0].shape[-1] for o in (setup.student, setup.teacher)]
        self.embedding_projection = nn.Linear(embeddings[0], embeddings[1], bias=False)

    def terms(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """The three MSEs, summed over layers."""
        mine, theirs = _states(student), _states(teacher)
        mask = token_losses.real_tokens(context.inputs, theirs[-1])
        hidden = [
            token_losses.state_mse(_project(self.hidden_projection, mine[m]), theirs[n], mask) for m, n in self.map
        ]
        embedded = _project(self.embedding_projection, mine[0])
        scores = [required(o.projections, "projections") for o in (student, teacher)]
        attention = [
            token_losses.score_mse(self._scores(scores[0][m - 1]), self._scores(scores[1][n - 1]), mask)
            for m, n in self.map
        ]
        return {
            "attention": torch.stack(attention).sum(),
            "hidden": torch.stack(hidden).sum(),
            "embeddings": token_losses.state_mse(embedded, theirs[0], mask),
        }

    def _scores(self, projections: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        return token_losses.attention_scores(projections[0], projections[1], self.heads)


class SelfRelationsModule(ObjectiveModule):
    """MiniLMv2's teacher layer and relation heads; it has no weights."""

    def __init__(self, settings: SelfRelations, setup: ObjectiveSetup) -> None:
        super().__init__(settings)
        student, teacher = (required(o.projections, "projections") for o in (setup.student, setup.teacher))
        self.teacher_layer = self._layer(settings.teacher_layer, len(teacher))
        self.relation_heads = self._heads(settings.relation_heads, student[-1][0].shape[-1], teacher[0][0].shape[-1])

    def terms(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """One divergence each for queries, keys and values."""
        mine = required(student.projections, "projections")[-1]
        theirs = required(teacher.projections, "projections")[self.teacher_layer - 1]
        mask = token_losses.real_tokens(context.inputs, theirs[0])
        return {
            name: token_losses.relation_divergence(left, right, mask, self.relation_heads)
            for name, left, right in zip(("queries", "keys", "values"), mine, theirs, strict=True)
        }

    @staticmethod
    def _layer(wanted: int | None, layers: int) -> int:
        """The last of up to 12 layers, the 21st of 24."""
        if wanted is not None and wanted > layers:
            raise MethodError(f"minilm: teacher_layer {wanted} does not exist, the teacher has {layers}")
        return wanted or (layers if layers <= 12 else layers * 21 // 24)

    @staticmethod
    def _heads(wanted: int | None, student: int, teacher: int) -> int:
        """48 relation heads, 64 where the teacher is wider than 768; the next number below that fits."""
        if wanted is not None and (student % wanted or teacher % wanted):
            raise MethodError(
                f"minilm: {wanted} relation heads do not divide the widths {student} (student) and {teacher} (teacher)"
            )
        if wanted is not None:
            return wanted
        most = 48 if teacher <= 768 else 64
        return next(heads for heads in range(most, 0, -1) if student % heads == 0 and teacher % heads == 0)
