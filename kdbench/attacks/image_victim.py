"""The classifier as image attacks see it: frozen, in fp32, and watched."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from kdbench.attacks.image_members import Norm

TOLERANCE = 1e-5
"""How far beyond epsilon rounding may carry a candidate, as a share of epsilon; it is projected before it counts."""


class Finished(Exception):  # noqa: N818
    """Every image under attack is broken or given up: nothing is left to do."""


class Victim(nn.Module):
    """A classifier that remembers, for each image under attack, the strongest attempt it was asked about.

    An image is broken at the first query inside the ball that gets another class. From then on the classifier is
    not run on it again: its old logits, without gradient, are the answer. So algorithms that move a whole batch
    to the end, as torchattacks' do, cost no more than the images that are live, and once none is,
    :class:`Finished` ends the run. With a patience, an image whose margin has not fallen in so many queries is
    given up in the same way, without being broken.

    Attributes:
        images: ``(n, channels, height, width)`` originals in [0, 1].
        labels: ``(n,)`` true classes.
        strongest: like ``images``, of each the attempt with the lowest margin so far.
        margins: ``(n,)`` label's logit minus the best other one at ``strongest``.
        standing: ``(n,)`` bool, not broken so far.
        stalled: ``(n,)`` queries in a row that did not lower the margin.
        queries: ``(n,)`` forward passes so far.
        gradients: ``(n,)`` how many of them were asked for a gradient.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        norm: Norm,
        epsilon: float,
        patience: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.images, self.labels, self.norm, self.epsilon, self.patience = images, labels, norm, epsilon, patience
        count = len(images)
        self.strongest = images.clone()
        self.margins = torch.full((count,), torch.inf, device=images.device)
        self.standing = torch.ones(count, dtype=torch.bool, device=images.device)
        self.stalled = torch.zeros(count, dtype=torch.int64, device=images.device)
        self.queries, self.gradients = torch.zeros_like(self.stalled), torch.zeros_like(self.stalled)
        self.answers = torch.empty(0, device=images.device)
        # torchattacks asks the first parameter for the device, and a model may have none.
        self.device_of = nn.Parameter(torch.empty(0, device=images.device), requires_grad=False)
        self.train(model.training)

    @property
    def live(self) -> Tensor:
        """``(n,)`` bool, neither broken nor given up."""
        return self.standing if self.patience is None else self.standing & (self.stalled < self.patience)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits ``(rows, classes)`` of all images under attack, or of those that stand, in their order.

        Raises:
            Finished: no image is live after this query.
        """
        rows = self.rows(len(inputs))
        if rows is None:  # a subset that only the algorithm knows: answered, not watched
            return logits_of(self.model, inputs)
        return self.ask(inputs, rows)

    def ask(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Logits ``(rows, classes)`` of attempts at the images of these rows.

        Raises:
            Finished: no image is live after this query.
        """
        live = self.live[rows].nonzero().flatten()
        if len(live) == len(rows):
            logits = logits_of(self.model, inputs)
        else:
            fresh = logits_of(self.model, inputs[live])
            logits = self.answers[rows].index_put((live,), fresh)
        asked = rows[live]
        self.queries[asked] += 1
        self.gradients[asked] += int(torch.is_grad_enabled() and inputs.requires_grad)
        self._watch(asked, inputs.detach()[live], logits.detach()[live])
        if not self.live.any():
            raise Finished
        return logits

    def rows(self, count: int) -> Tensor | None:
        """Which images a batch of ``count`` holds: all, or those that stand; nothing when it can be neither."""
        if count == len(self.images):
            return torch.arange(count, device=self.images.device)
        standing = self.standing.nonzero().flatten()
        return standing if count == len(standing) else None

    @torch.no_grad()
    def _watch(self, rows: Tensor, inputs: Tensor, logits: Tensor) -> None:
        if not len(self.answers):
            self.answers = logits.new_zeros(len(self.images), logits.shape[1])
        self.answers[rows] = logits
        labels, margins = self.labels[rows], margin(logits, self.labels[rows])
        inside = self.inside(inputs, rows)
        wrong = inside & (logits.argmax(-1) != labels) & margins.isfinite()
        better = inside & (margins < self.margins[rows]) | wrong
        self.margins[rows[better]] = margins[better]
        self.strongest[rows[better]] = inputs[better]
        self.standing[rows[wrong]] = False
        self.stalled[rows] = torch.where(better, 0, self.stalled[rows] + 1)

    def inside(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """``(rows,)`` whether inputs lie in the ball and in [0, 1], up to rounding."""
        flat = inputs.flatten(1)
        box = (flat.amin(1) >= -TOLERANCE) & (flat.amax(1) <= 1 + TOLERANCE)
        return box & (distance(inputs, self.images[rows], self.norm) <= self.epsilon * (1 + TOLERANCE) + 1e-7)


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Logits ``(batch, classes)`` of a transformers model, or of any module that returns them."""
    output = model(images)
    logits: Tensor = output if isinstance(output, Tensor) else output.logits
    return logits


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """``(batch,)`` the label's logit minus the largest other one; negative means misclassified."""
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return own[:, 0] - others.amax(1)


def distance(inputs: Tensor, images: Tensor, norm: Norm) -> Tensor:
    """``(batch,)`` norms of the perturbations."""
    return lengths(inputs - images, norm)


def lengths(perturbations: Tensor, norm: Norm) -> Tensor:
    """``(batch,)`` norms of ``(batch, channels, height, width)``."""
    found: Tensor = torch.linalg.vector_norm(perturbations.flatten(1), torch.inf if norm == "Linf" else 2, dim=1)
    return found


def project(inputs: Tensor, images: Tensor, norm: Norm, epsilon: float) -> Tensor:
    """The inputs, moved into the epsilon ball around the images and into [0, 1]."""
    if norm == "Linf":
        return inputs.clamp(images - epsilon, images + epsilon).clamp(0, 1)
    length = distance(inputs, images, norm).clamp(min=1e-12).view(-1, 1, 1, 1)
    return (images + (inputs - images) * (epsilon / length).clamp(max=1)).clamp(0, 1)


def stretch(inputs: Tensor, images: Tensor, norm: Norm, epsilon: float) -> Tensor:
    """The inputs, moved away from the images to the surface of the epsilon ball, and into [0, 1]."""
    length = distance(inputs, images, norm).clamp(min=1e-12).view(-1, 1, 1, 1)
    return (images + (inputs - images) * (epsilon / length)).clamp(0, 1)


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """The model as it is to be attacked: evaluation mode, fp32 throughout, no gradients for its parameters.

    Afterwards every module's mode, every parameter's ``requires_grad``, and torch's random states are what they
    were; gradients were never touched. A model in another precision is attacked as a copy in fp32.
    """
    if any(p.is_floating_point() and p.dtype != torch.float32 for p in model.parameters()):
        model = copy.deepcopy(model).float()
    modes = [(module, module.training) for module in model.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        torch.autocast(device.type, enabled=False),
        _no_tf32(device),
    ):
        try:
            for parameter, _ in wanted:
                parameter.requires_grad_(False)
            yield model.eval()
        finally:
            for module, training in modes:
                module.training = training
            for parameter, needed in wanted:
                parameter.requires_grad_(needed)


@contextlib.contextmanager
def _no_tf32(device: torch.device) -> Iterator[None]:
    """Convolutions of CUDA round to 10 bits by default; what is reported is computed in fp32."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
