"""Regressors, embeddings and banks of the objectives in ``features``."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kdbench.errors import MethodError
from kdbench.methods import feature_losses, losses
from kdbench.methods.contract import Context, ObjectiveSetup, Outputs
from kdbench.methods.objectives.common import required
from kdbench.methods.objectives.features import Contrastive, Hint
from kdbench.methods.objectives.module import ObjectiveModule


def regressor(student: torch.Size, teacher: torch.Size) -> nn.Module:
    """A convolution from the student's map to the teacher's size, batch norm and ReLU, as RepDistiller has it.

    Args:
        student, teacher: ``(batch, channels, height, width)`` of the maps.

    Raises:
        MethodError: the student's map is smaller, and not half the teacher's.
    """
    channels = student[1], teacher[1]
    (mine, theirs), (width, their_width) = (student[2], teacher[2]), (student[3], teacher[3])
    if (mine, width) == (2 * theirs, 2 * their_width):
        convolution: nn.Module = nn.Conv2d(*channels, kernel_size=3, stride=2, padding=1)
    elif (2 * mine, 2 * width) == (theirs, their_width):
        convolution = nn.ConvTranspose2d(*channels, kernel_size=4, stride=2, padding=1)
    elif mine >= theirs and width >= their_width:
        convolution = nn.Conv2d(*channels, kernel_size=(1 + mine - theirs, 1 + width - their_width))
    else:
        raise MethodError(
            f"fitnets: no regressor leads from the student's {mine}x{width} map to the teacher's "
            f"{theirs}x{their_width}: choose another 'layer'"
        )
    return nn.Sequential(convolution, nn.BatchNorm2d(channels[1]), nn.ReLU())


class HintModule(ObjectiveModule):
    """FitNets' hint with its regressor."""

    def __init__(self, settings: Hint, setup: ObjectiveSetup) -> None:
        super().__init__(settings)
        self._layer, self._weight = settings.layer, settings.weight
        self.regressor = regressor(self._map(setup.student).shape, self._map(setup.teacher).shape)

    def terms(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """weight·MSE(regressor(hS), hT)."""
        mine, theirs = (feature_losses.widened(self._map(outputs)) for outputs in (student, teacher))
        parameter = next(self.parameters())
        return {"hint": self._weight * losses.mse(self.regressor(mine.to(parameter.dtype)), theirs.to(parameter.dtype))}

    def _map(self, outputs: Outputs) -> Tensor:
        states = required(outputs.hidden_states, "hidden states")
        if self._layer >= len(states) or states[self._layer].ndim != 4:
            raise MethodError(
                f"fitnets: there is no map at layer {self._layer}: the model has the stem (0) and stages 1 to "
                f"{len(states) - 2}"
            )
        return states[self._layer]


class ContrastiveModule(ObjectiveModule):
    """CRD's embeddings, and one bank of embeddings of the whole training split for each model.

    An example's scores against a whole bank are one matrix product, from which those of its negatives are taken:
    far cheaper than gathering K embeddings for every example of the batch.
    """

    student_bank: Tensor
    teacher_bank: Tensor
    normalisers: Tensor
    _labels: Tensor
    _by_class: Tensor
    _first: Tensor
    _sizes: Tensor

    def __init__(self, settings: Contrastive, setup: ObjectiveSetup) -> None:
        super().__init__(settings)
        self._crd = settings
        labels, examples = setup.labels, len(setup.labels)
        sizes = torch.bincount(labels)
        self.negatives = min(settings.negatives, examples - int(sizes.max()))
        if self.negatives < 1:
            raise MethodError("crd: all training examples are of one class, and negatives are of other classes")
        for name, outputs in (("student", setup.student), ("teacher", setup.teacher)):
            features = feature_losses.example_features(required(outputs.hidden_states, "hidden states"))
            self.add_module(f"{name}_embedding", nn.Linear(features.shape[1], settings.width))
            bound = 1 / math.sqrt(settings.width / 3)
            self.register_buffer(f"{name}_bank", torch.empty(examples, settings.width).uniform_(-bound, bound))
        self.register_buffer("normalisers", torch.zeros(2))  # of student and teacher scores; 0 until the first batch
        self.register_buffer("_labels", labels, persistent=False)
        self.register_buffer("_by_class", labels.argsort(stable=True), persistent=False)
        self.register_buffer("_first", sizes.cumsum(0) - sizes, persistent=False)
        self.register_buffer("_sizes", sizes, persistent=False)

    def terms(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """weight·(student against the teacher's bank + teacher against the student's), then the banks move."""
        rows = required(context.rows, "the numbers of the examples")
        pairs = torch.cat([rows[:, None], self.draw(rows, context.seed)], 1)
        mine, theirs = self._embed("student", student), self._embed("teacher", teacher)
        total = self._contrast(mine, self.teacher_bank, pairs, 0) + self._contrast(theirs, self.student_bank, pairs, 1)
        self._remember(rows, mine, theirs)
        return {"contrast": self._crd.weight * total}

    @torch.no_grad()
    def draw(self, rows: Tensor, seed: int) -> Tensor:
        """``(batch, K)`` training examples of other classes than those in ``rows``, uniform, with replacement.

        Which ones depends on the examples in the batch, not on their order.
        """
        generator = None if rows.is_meta else torch.Generator(rows.device).manual_seed(seed)
        labels = self._labels[rows]
        first, size = self._first[labels, None], self._sizes[labels, None]
        others = len(self._labels) - size
        drawn = torch.rand(len(rows), self.negatives, generator=generator, device=rows.device)
        drawn = drawn[rows.argsort(stable=True).argsort()]
        place = torch.minimum((drawn * others).long(), others - 1)  # counted without the own class: it is stepped over
        return self._by_class[place + (place >= first) * size]

    def _embed(self, name: str, outputs: Outputs) -> Tensor:
        layer = self.get_submodule(f"{name}_embedding")
        features = feature_losses.example_features(required(outputs.hidden_states, "hidden states"))
        return F.normalize(layer(features.to(self.student_bank.dtype)), dim=1)

    def _contrast(self, anchors: Tensor, bank: Tensor, pairs: Tensor, side: int) -> Tensor:
        """The loss of ``anchors`` against ``pairs`` in a bank, the first of every row the right one."""
        frozen = bank.clone()  # the backward pass wants the bank as it was before this batch moves it
        scores = (anchors @ frozen.T).gather(1, pairs) / self._crd.contrast_temperature
        with torch.no_grad():  # the normaliser is estimated on the first batch and kept
            estimate = scores.exp().mean() * len(bank)
            self.normalisers[side] = torch.where(self.normalisers[side] > 0, self.normalisers[side], estimate)
        logits = scores - self.normalisers[side].log()
        return feature_losses.noise_contrastive(logits[:, 0], logits[:, 1:], len(bank))

    @torch.no_grad()
    def _remember(self, rows: Tensor, mine: Tensor, theirs: Tensor) -> None:
        momentum = self._crd.momentum
        for bank, embeddings in ((self.student_bank, mine), (self.teacher_bank, theirs)):
            moved = momentum * bank[rows] + (1 - momentum) * embeddings
            bank.index_copy_(0, rows, F.normalize(moved, dim=1))
