"""Objectives: frozen settings that turn outputs into named loss terms.

For regression every logit-matching term is an MSE between scores and every CE is an MSE against
the gold score. Torch is imported when a loss is computed, not when a method is planned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kdbench.methods.base import Context, Outputs

if TYPE_CHECKING:
    from torch import Tensor


def supervised_loss(student: Outputs, labels: Tensor, context: Context, smoothing: float = 0.0) -> Tensor:
    """CE against class indices, or MSE against scores."""
    from kdbench.methods import losses

    if context.regression:
        return losses.mse(student.logits.squeeze(-1), labels)
    return losses.cross_entropy(student.logits, labels, smoothing)


class _NoTeacher:
    """An objective that needs labels only."""

    uses_teacher = False

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """Nothing."""
        return {}


class _Teacher:
    """An objective that compares with a teacher."""

    uses_teacher = True


@dataclass(frozen=True)
class CrossEntropy(_NoTeacher):
    """CE(y, zS), with label smoothing where asked for."""

    smoothing: float = 0.0

    def hard(self, student: Outputs, labels: Tensor, context: Context) -> dict[str, Tensor]:
        """The whole loss."""
        return {"hard": supervised_loss(student, labels, context, self.smoothing)}


@dataclass(frozen=True)
class KDObjective(_Teacher):
    """α·CE + (1-α)·D(zS, zT): D is T²·KL (Hinton et al. 2015) or the soft cross-entropy (MATE-KD)."""

    alpha: float
    temperature: float
    divergence: Literal["kl", "soft-ce"] = "kl"

    def hard(self, student: Outputs, labels: Tensor, context: Context) -> dict[str, Tensor]:
        """α·CE."""
        return {"hard": self.alpha * supervised_loss(student, labels, context)} if self.alpha else {}

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """(1-α)·D."""
        from kdbench.methods import losses

        if context.regression:
            distance = losses.mse(student.logits, teacher.logits)
        else:
            function = losses.kl_divergence if self.divergence == "kl" else losses.soft_cross_entropy
            distance = self.temperature**2 * function(student.logits, teacher.logits, self.temperature)
        return {"soft": (1 - self.alpha) * distance}


@dataclass(frozen=True)
class LogitMSE(_Teacher):
    """α·CE + (1-α)·MSE(zS, zT); with α = 0 labels are not looked at."""

    alpha: float = 0.0

    def hard(self, student: Outputs, labels: Tensor, context: Context) -> dict[str, Tensor]:
        """α·CE, or nothing."""
        return {"hard": self.alpha * supervised_loss(student, labels, context)} if self.alpha else {}

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """(1-α)·MSE over batch and classes."""
        from kdbench.methods import losses

        return {"soft": (1 - self.alpha) * losses.mse(student.logits, teacher.logits)}


@dataclass(frozen=True)
class ContinuationObjective(_Teacher):
    """ψ·CE + (1-ψ)·max(0, ‖zS - Φ·zT‖² - m·Φ), with ψ rising linearly, then fixed at 1.

    Attributes:
        margin: m.
        final_psi: ψ reached at ``switch`` (0.5 in the paper: i/40 at epoch 20).
        switch: share of the stage after which ψ is 1 (20 of 30 epochs in the paper).
    """

    margin: float
    final_psi: float
    switch: float

    def psi(self, progress: float) -> float:
        """ψ at a share ``progress`` of the stage."""
        return 1.0 if progress >= self.switch else self.final_psi * progress / self.switch

    def hard(self, student: Outputs, labels: Tensor, context: Context) -> dict[str, Tensor]:
        """ψ·CE."""
        return {"hard": self.psi(context.progress) * supervised_loss(student, labels, context)}

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """(1-ψ)·hinge; the teacher's logits come scaled with Φ already."""
        from kdbench.methods import losses

        weight = 1 - self.psi(context.progress)
        if weight == 0:
            return {}
        margin = self.margin * context.scale
        return {"soft": weight * losses.hinged_squared_distance(student.logits, teacher.logits, margin)}
