"""Attacks on image classifiers: the worst case over several algorithms, for each image by itself."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from kdbench.attacks.image_algorithms import perturb
from kdbench.attacks.image_batches import Batches, fitting_batch
from kdbench.attacks.image_members import AutoPGD, Member
from kdbench.attacks.image_random import RowRandom
from kdbench.attacks.image_victim import Broken, Victim, distance, frozen, logits_of, margin, project
from kdbench.attacks.spec import AttackSpec
from kdbench.errors import AttackError
from kdbench.hashing import derive_seed

__all__ = ["ImageAttackResult", "attack_images", "summarize_images"]


@dataclass(frozen=True)
class ImageAttackResult:
    """What an attack did to each image.

    Attributes:
        labels: ``(n,)`` true classes.
        predicted: ``(n,)`` the model's classes of the originals.
        adversarial: ``(n,)`` its classes of ``images``, from a forward pass of their own.
        broken_by: for each image the member that broke it, or an empty string.
        queries: ``(n,)`` forward passes, the one of the original included.
        gradients: ``(n,)`` how many of them were differentiated.
        norms: ``(n,)`` float32 norms of the perturbations, in the attack's norm.
        images: ``(n, channels, height, width)`` float32 in [0, 1], on the CPU: the adversarial images; of those
            that stood, the strongest attempt inside the ball, or the original; of skipped ones, the original.
        after: member -> share of all images that is classified right after it and those before it.
        notes: where an algorithm had to be changed for this model, one sentence each.
    """

    labels: np.ndarray
    predicted: np.ndarray
    adversarial: np.ndarray
    broken_by: list[str]
    queries: np.ndarray
    gradients: np.ndarray
    norms: np.ndarray
    images: Tensor
    after: dict[str, float]
    notes: tuple[str, ...]

    @property
    def outcomes(self) -> list[str]:
        """``skipped`` (wrong before the attack), ``failed`` (still right) or ``success`` for each image."""
        right = self.predicted == self.labels
        broken = np.array([bool(member) for member in self.broken_by], dtype=bool)
        outcomes: list[str] = np.where(~right, "skipped", np.where(broken, "success", "failed")).tolist()
        return outcomes


def summarize_images(result: ImageAttackResult) -> dict[str, float]:
    """The metrics of an attack over all images, named as those of text attacks where they mean the same.

    Returns:
        ``accuracy_under_attack`` (right even after the attack, skipped images counting as wrong) and
        ``clean_accuracy``, shares of all images; ``success_rate``, share of the attacked ones (0 when there were
        none); ``mean_queries`` and ``mean_gradients`` over the attacked; ``mean_norm`` of the perturbations over
        the successes (0 without any). All 0 for no images.
    """
    outcomes = np.array(result.outcomes, dtype=object)
    attacked, success = outcomes != "skipped", outcomes == "success"
    total, tried, broken = max(1, len(outcomes)), max(1, int(attacked.sum())), int(success.sum())
    return {
        "accuracy_under_attack": float((attacked & ~success).sum()) / total,
        "clean_accuracy": float(attacked.sum()) / total,
        "success_rate": broken / tried,
        "mean_queries": float(result.queries[attacked].sum()) / tried,
        "mean_gradients": float(result.gradients[attacked].sum()) / tried,
        "mean_norm": float(result.norms[success].sum()) / max(1, broken),
    }


def _silent(member: str, share: float) -> None:
    """The default progress: none."""


def attack_images(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    spec: AttackSpec,
    *,
    seed: int,
    batch_size: int | None = None,
    progress: Callable[[str, float], None] = _silent,
) -> ImageAttackResult:
    """Attack every image that the model classifies right; members run in order, each on what still stands.

    An image is broken when one attempt inside the ball, projected against rounding, gets another class in a
    forward pass of its own. What an image starts from depends on the seed, the algorithm and its own pixels
    alone, so its outcome does not depend on the other images, up to the rounding of other batch sizes. The model
    is attacked in evaluation mode and fp32, and is left as it was found, like torch's random states.

    Args:
        model: a module ``(batch, channels, height, width) -> logits``, or a transformers model; normalisation is
            part of it.
        images: ``(n, channels, height, width)`` float32 in [0, 1].
        labels: ``(n,)`` int64 classes.
        spec: an attack of kind ``image``.
        seed: root of all random starts.
        batch_size: images attacked at once; by default as many as memory allows.
        progress: called with a member's name and the share of its work that is done.

    Raises:
        AttackError: a text attack, pixels outside of [0, 1], or labels the model has no logit for.
    """
    if spec.kind != "image":
        raise AttackError(f"attack '{spec.name}' is for texts: choose one of kind image")
    if len(images) and not (float(images.min()) >= 0 and float(images.max()) <= 1):
        raise AttackError("pixels must lie in [0, 1]: divide by 255, and leave normalisation to the model")

    with frozen(model) as victim:
        run = _Run(victim, images.detach().float().cpu().contiguous(), labels.detach().cpu(), spec, seed, batch_size)
        for name, member in _named(spec.members):
            for share in run.attack(name, member):
                progress(name, share)
        return run.result()


def _named(members: tuple[Member, ...]) -> Iterator[tuple[str, Member]]:
    """Members by algorithm; the second of one kind is ``pgd-2``."""
    seen: dict[str, int] = {}
    for member in members:
        count = seen[member.algorithm] = seen.get(member.algorithm, 0) + 1
        yield member.algorithm if count == 1 else f"{member.algorithm}-{count}", member


class _Run:
    """One attack in progress. Everything about all images lies on the CPU, batches go to the model's device."""

    def __init__(
        self, model: nn.Module, images: Tensor, labels: Tensor, spec: AttackSpec, seed: int, batch_size: int | None
    ) -> None:
        assert spec.norm is not None and spec.epsilon is not None
        self.model, self.labels, self.spec, self.seed = model, labels, spec, seed
        self.norm, self.epsilon = spec.norm, spec.epsilon
        self.device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        self.originals, self.strongest = images, images.clone()
        self.contents = [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images]
        self.queries = torch.ones(len(images), dtype=torch.int64)
        self.gradients = torch.zeros_like(self.queries)
        self.broken_by = [""] * len(images)
        self.after: dict[str, float] = {}
        self.notes: list[str] = []
        self.batches = Batches(batch_size or fitting_batch(model, images))
        logits = self._logits(images)
        self.classes = logits.shape[1]
        if len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < self.classes):
            raise AttackError(f"a label lies outside of the model's {self.classes} classes")
        self.predicted = logits.argmax(-1)
        self.margins = margin(logits, labels)
        self.standing = self.predicted == labels

    def attack(self, name: str, member: Member) -> Iterator[float]:
        """Run one member, target by target and restart by restart; yields the share that is done."""
        targets = range(1, min(member.aims, self.classes - 1) + 1) or (0,)
        rounds = list(itertools.product(targets, range(member.runs)))
        self._note(name, member)
        for number, (target, restart) in enumerate(rounds):
            rows = self.standing.nonzero().flatten()
            run = functools.partial(self._round, name=name, member=member, target=target, restart=restart)
            for done in self.batches.over(rows, run):
                yield (number + done / len(rows)) / len(rounds)
        self.after[name] = float(self.standing.sum()) / max(1, len(self.standing))

    def _round(self, rows: Tensor, name: str, member: Member, target: int, restart: int) -> None:
        """One run of an algorithm on some images that stand."""
        originals, labels = self.originals[rows].to(self.device), self.labels[rows].to(self.device)
        victim = Victim(self.model, originals, labels, self.norm, self.epsilon)
        seeds = [derive_seed(self.seed, name, target, restart, self.contents[row]) for row in rows.tolist()]
        try:
            with RowRandom(seeds, derive_seed(self.seed, name, target, restart), victim.rows):
                victim(perturb(victim, member, target=target, restart=restart).detach())
        except Broken:
            pass
        attempts = project(victim.strongest, originals, self.norm, self.epsilon).cpu()
        logits = self._logits(attempts)
        margins = margin(logits, self.labels[rows])
        wrong = (logits.argmax(-1) != self.labels[rows]) & logits.isfinite().all(-1)
        better = wrong | (margins < self.margins[rows])
        self.margins[rows[better]] = margins[better]
        self.strongest[rows[better]] = attempts[better]
        self.standing[rows[wrong]] = False
        self.queries[rows] += victim.queries.cpu()
        self.gradients[rows] += victim.gradients.cpu()
        for row in rows[wrong].tolist():
            self.broken_by[row] = name

    def result(self) -> ImageAttackResult:
        """Everything about every image."""
        return ImageAttackResult(
            labels=self.labels.numpy(),
            predicted=self.predicted.numpy(),
            adversarial=self._logits(self.strongest).argmax(-1).numpy(),
            broken_by=self.broken_by,
            queries=self.queries.numpy(),
            gradients=self.gradients.numpy(),
            norms=distance(self.strongest, self.originals, self.norm).numpy(),
            images=self.strongest,
            after=self.after,
            notes=tuple(self.notes),
        )

    @torch.no_grad()
    def _logits(self, images: Tensor) -> Tensor:
        if not len(images):
            return logits_of(self.model, images.to(self.device)).float().cpu()
        parts: list[Tensor] = []

        def collect(rows: Tensor) -> None:
            parts.append(logits_of(self.model, images[rows].to(self.device)).float().cpu())

        for _ in self.batches.over(torch.arange(len(images)), collect):
            pass
        return torch.cat(parts)

    def _note(self, name: str, member: Member) -> None:
        needed = {"apgd-dlr": 3, "apgd-t": 4}.get(member.algorithm, 0)
        if isinstance(member, AutoPGD) and self.classes < needed:
            self.notes.append(
                f"{name} raises the plain logit margin: its ratio needs {needed} classes, the model has {self.classes}"
            )
