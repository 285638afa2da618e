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
from kdbench.attacks.image_result import STRETCHED, ImageAttackResult, member_names, summarize_images
from kdbench.attacks.image_state import AttackState, StateFile
from kdbench.attacks.image_victim import Finished, Victim, distance, frozen, logits_of, margin, project, stretch
from kdbench.attacks.spec import AttackSpec
from kdbench.errors import AttackError
from kdbench.hashing import derive_seed

__all__ = ["ImageAttackResult", "attack_images", "summarize_images"]


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
    state: StateFile | None = None,
    progress: Callable[[str, float], None] = _silent,
) -> ImageAttackResult:
    """Attack every image that the model classifies right; members run in order, each on what still stands.

    An image is broken when one attempt inside the ball, projected against rounding, gets another class in a
    forward pass of its own. What an image starts from depends on the seed, the algorithm and its own pixels
    alone, so its outcome does not depend on the other images, up to the rounding of other batch sizes. The model
    is attacked in evaluation mode and fp32, and is left as it was found, like torch's random states.

    With several epsilons, the whole attack is made at one after the other, from small to large. What is broken in a
    small ball lies in every larger one and is not attacked again; for what stands, the strongest attempt so far is
    moved to the surface of the larger ball and tried there first.

    Args:
        model: a module ``(batch, channels, height, width) -> logits``, or a transformers model; normalisation is
            part of it.
        images: ``(n, channels, height, width)`` float32 in [0, 1].
        labels: ``(n,)`` int64 classes.
        spec: an attack of kind ``image``.
        seed: root of all random starts.
        batch_size: images attacked at once; by default as many as memory allows.
        state: where the state is kept after each batch, and taken up again if the same attack was interrupted.
        progress: called with a member's name and the share of its work that is done.

    Raises:
        AttackError: a text attack, pixels outside of [0, 1], or labels the model has no logit for.
    """
    if spec.kind != "image":
        raise AttackError(f"attack '{spec.name}' is for texts: choose one of kind image")
    if len(images) and not (float(images.min()) >= 0 and float(images.max()) <= 1):
        raise AttackError("pixels must lie in [0, 1]: divide by 255, and leave normalisation to the model")

    with frozen(model) as still:
        saved = state.load() if state else None
        size = saved.batch_size if saved else batch_size or fitting_batch(still, images)
        run = _Run(still, images.detach().float().cpu().contiguous(), labels.detach().cpu(), spec, seed, size)
        if saved:
            run.state = saved
        for name, share in run.attack():
            if state:
                state.save(run.state)
            progress(name, share)
        return run.result()


@dataclass(frozen=True)
class _Round:
    """One run of a member on all that stands, or of nothing but the attempts of a smaller ball, stretched."""

    epsilon: float
    name: str
    member: Member | None = None
    target: int = 0
    restart: int = 0


def _rounds(spec: AttackSpec, classes: int) -> list[_Round]:
    """What is done in which order; only that and the state say where an attack is."""
    rounds = []
    for epsilon in spec.radii:
        if epsilon > spec.radii[0]:
            rounds.append(_Round(epsilon, STRETCHED))
        for name, member in _named(spec):
            targets = range(1, min(member.aims, classes - 1) + 1) or (0,)
            tries = itertools.product(targets, range(member.runs))
            rounds += [_Round(epsilon, name, member, target, restart) for target, restart in tries]
    return rounds


class _Run:
    """One attack in progress. Everything about all images lies on the CPU, batches go to the model's device."""

    def __init__(
        self, model: nn.Module, images: Tensor, labels: Tensor, spec: AttackSpec, seed: int, batch_size: int
    ) -> None:
        assert spec.norm is not None
        self.model, self.originals, self.labels, self.spec, self.seed = model, images, labels, spec, seed
        self.norm = spec.norm
        self.device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        self.contents = [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images]
        self.batches = Batches(batch_size)
        logits = self._logits(images)
        classes = logits.shape[1]
        if len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < classes):
            raise AttackError(f"a label lies outside of the model's {classes} classes")
        self.predicted = logits.argmax(-1)
        self.ranking = logits.scatter(1, labels[:, None], torch.inf).argsort(1, descending=True)
        self.rounds = _rounds(spec, classes)
        self.notes = _notes(spec, classes)
        self.state = AttackState.start(images, margin(logits, labels), self.predicted == labels, self.batches.size)

    def attack(self) -> Iterator[tuple[str, float]]:
        """Go on from the state to the end; after each batch, a member's name and the share of it that is done."""
        state = self.state
        while state.round < len(self.rounds):
            now = self.rounds[state.round]
            alike = [r for r in self.rounds if (r.epsilon, r.name) == (now.epsilon, now.name)]
            rows = state.rows
            for done in self.batches.over(rows, functools.partial(self._round, now=now), state.done):
                state.done, state.batch_size = done, self.batches.size
                yield now.name, (alike.index(now) + done / len(rows)) / len(alike)
            state.round += 1
            state.rows, state.done = state.standing.nonzero().flatten(), 0

    def _round(self, rows: Tensor, now: _Round) -> None:
        """One round on some images that stand."""
        state, originals = self.state, self.originals[rows].to(self.device)
        patience = getattr(now.member, "patience", None)
        victim = Victim(self.model, originals, self.labels[rows].to(self.device), self.norm, now.epsilon, patience)
        drawn = now.name, now.target, now.restart  # not epsilon: the same starts in every ball
        seeds = [derive_seed(self.seed, *drawn, self.contents[row]) for row in rows.tolist()]
        try:
            with RowRandom(seeds, derive_seed(self.seed, *drawn), victim.rows):
                if now.member is None:
                    victim(stretch(state.strongest[rows].to(self.device), originals, self.norm, now.epsilon))
                else:
                    aims = self.ranking[rows, now.target].to(self.device) if now.target else None
                    perturb(victim, now.member, aims, now.restart)
        except Finished:
            pass
        attempts = project(victim.strongest, originals, self.norm, now.epsilon).cpu()
        margins, wrong = victim.margins.cpu(), ~victim.standing.cpu()
        if wrong.any():
            claimed = wrong.nonzero().flatten()
            margins[claimed], wrong[claimed] = self._look(attempts[claimed], self.labels[rows[claimed]])
        better = wrong | (margins < state.margins[rows])
        state.margins[rows[better]] = margins[better]
        state.strongest[rows[better]] = attempts[better]
        state.standing[rows[wrong]] = False
        state.breaker[rows[wrong]] = state.round
        state.queries[rows] += victim.queries.cpu()
        state.gradients[rows] += victim.gradients.cpu()

    def _look(self, attempts: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """``(rows,)`` margins in a forward pass of their own, and whether the class is wrong."""
        logits = self._logits(attempts)
        return margin(logits, labels), (logits.argmax(-1) != labels) & logits.isfinite().all(-1)

    def result(self) -> ImageAttackResult:
        """Everything about every image."""
        state = self.state
        breakers = [None if index < 0 else self.rounds[index] for index in state.breaker.tolist()]
        right = (self.predicted == self.labels).tolist()
        broken_at = [
            breaker.epsilon if breaker else np.inf if stood else 0.0
            for breaker, stood in zip(breakers, right, strict=True)
        ]
        return ImageAttackResult(
            labels=self.labels.numpy(),
            predicted=self.predicted.numpy(),
            adversarial=self._logits(state.strongest).argmax(-1).numpy(),
            broken_by=[breaker.name if breaker else "" for breaker in breakers],
            broken_at=np.array(broken_at),
            queries=state.queries.numpy(),
            gradients=state.gradients.numpy(),
            norms=distance(state.strongest, self.originals, self.norm).numpy(),
            images=state.strongest,
            members=tuple(name for name, _ in _named(self.spec)),
            epsilons=self.spec.radii,
            notes=self.notes,
            batch_size=state.batch_size,
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


def _named(spec: AttackSpec) -> Iterator[tuple[str, Member]]:
    names = member_names(member.algorithm for member in spec.members)
    return zip(names, spec.members, strict=True)


def _notes(spec: AttackSpec, classes: int) -> tuple[str, ...]:
    """Where a loss is not defined for so few classes."""
    needed = {"apgd-dlr": 3, "apgd-t": 4}
    return tuple(
        f"{name} raises the plain logit margin: its ratio needs {needed[member.algorithm]} classes, "
        f"the model has {classes}"
        for name, member in _named(spec)
        if isinstance(member, AutoPGD) and classes < needed.get(member.algorithm, 0)
    )
