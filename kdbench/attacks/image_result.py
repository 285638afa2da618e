"""What an attack did to images, and the numbers that follow from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

STRETCHED = "stretched"
"""In place of a member: what broke the image is the strongest attempt in a smaller ball, moved further out."""


@dataclass(frozen=True)
class ImageAttackResult:
    """What an attack did to each image.

    Attributes:
        labels: ``(n,)`` true classes.
        predicted: ``(n,)`` the model's classes of the originals.
        adversarial: ``(n,)`` its classes of ``images``, from a forward pass of their own.
        broken_by: for each image the member that broke it, :data:`STRETCHED`, or an empty string.
        broken_at: ``(n,)`` float64, the smallest of the attack's epsilons at which it was broken: infinity if it
            never was, 0 if it was wrong before.
        queries: ``(n,)`` forward passes, the one of the original included.
        gradients: ``(n,)`` how many of them were differentiated.
        norms: ``(n,)`` float32 norms of the perturbations, in the attack's norm.
        images: ``(n, channels, height, width)`` float32 in [0, 1], on the CPU: the adversarial images; of those
            that stood, the strongest attempt inside the ball, or the original; of skipped ones, the original.
        members: their names, in the order in which they ran.
        epsilons: radii, from small to large.
        notes: where an algorithm had to be changed for this model, one sentence each.
        batch_size: how many images were attacked at once; it belongs to the machine, not to the outcome.
    """

    labels: np.ndarray
    predicted: np.ndarray
    adversarial: np.ndarray
    broken_by: list[str]
    broken_at: np.ndarray
    queries: np.ndarray
    gradients: np.ndarray
    norms: np.ndarray
    images: Tensor
    members: tuple[str, ...]
    epsilons: tuple[float, ...]
    notes: tuple[str, ...] = ()
    batch_size: int = 0

    @property
    def outcomes(self) -> list[str]:
        """``skipped`` (wrong before the attack), ``failed`` (still right) or ``success`` for each image."""
        right = self.predicted == self.labels
        broken = np.array([bool(member) for member in self.broken_by], dtype=bool)
        outcomes: list[str] = np.where(~right, "skipped", np.where(broken, "success", "failed")).tolist()
        return outcomes

    @property
    def after(self) -> dict[str, float]:
        """Member -> share of all images that is right at the largest epsilon after it and those before it."""
        names = np.array(self.broken_by, dtype=object)
        standing = (self.broken_at >= self.epsilons[-1]) & (names != STRETCHED)
        after = {}
        for name in self.members:
            standing &= names != name
            after[name] = float(standing.sum()) / max(1, len(standing))
        return after

    @property
    def curve(self) -> list[tuple[float, float]]:
        """Share of all images that is right at epsilon 0, the clean accuracy, and at each epsilon of the attack."""
        total = max(1, len(self.broken_at))
        return [(radius, float((self.broken_at > radius).sum()) / total) for radius in (0.0, *self.epsilons)]

    def columns(self) -> dict[str, Any]:
        """What is kept of every image, by the name of its column."""
        return {
            "label": self.labels,
            "predicted": self.predicted,
            "outcome": self.outcomes,
            "adversarial": self.adversarial,
            "broken_by": self.broken_by,
            "broken_at": self.broken_at,
            "queries": self.queries,
            "gradients": self.gradients,
            "norm": self.norms,
        }


def member_names(algorithms: Iterable[str]) -> tuple[str, ...]:
    """Members by algorithm, in order; the second of one kind is ``pgd-2``."""
    seen: dict[str, int] = {}
    names = []
    for algorithm in algorithms:
        count = seen[algorithm] = seen.get(algorithm, 0) + 1
        names.append(algorithm if count == 1 else f"{algorithm}-{count}")
    return tuple(names)


def summarize_images(result: ImageAttackResult) -> dict[str, float]:
    """The metrics of an attack over all images, named as those of text attacks where they mean the same.

    Returns:
        ``accuracy_under_attack`` (right even after the attack, at its largest epsilon, skipped images counting as
        wrong) and ``clean_accuracy``, shares of all images; ``success_rate``, share of the attacked ones (0 when
        there were none); ``mean_queries`` and ``mean_gradients`` over the attacked; ``mean_norm`` of the
        perturbations over the successes (0 without any). All 0 for no images.
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
