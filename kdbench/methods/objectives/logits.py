"""Objectives on logits: frozen settings that turn outputs into named loss terms.

For regression every logit-matching term is an MSE between scores and every CE is an MSE against
the gold score. Torch is imported when a loss is computed, not when a method is planned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kdbench.methods.contract import Context, Outputs
from kdbench.methods.objectives.common import (
    HardTerm,
    HintonTerms,
    NoTeacher,
    WithTeacher,
    hinton_loss,
    required,
    supervised_loss,
)

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class CrossEntropy(NoTeacher):
    """CE(y, zS), with label smoothing where asked for."""

    smoothing: float = 0.0

    def hard(self, student: Outputs, labels: Tensor, context: Context) -> dict[str, Tensor]:
        """The whole loss."""
        return {"hard": supervised_loss(student, labels, context, self.smoothing)}


@dataclass(frozen=True)
class KDObjective(WithTeacher):
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
class LogitMSE(WithTeacher):
    """α·CE + (1-α)·MSE(zS, zT); with α = 0 labels are not looked at."""

    alpha: float = 0.0

    def hard(self, student: Outputs, labels: Tensor, context: Context) -> dict[str, Tensor]:
        """α·CE, or nothing."""
        return {"hard": self.alpha * supervised_loss(student, labels, context)} if self.alpha else {}

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """(1-α)·MSE over batch and classes."""
        from kdbench.methods import losses

        return {"soft": (1 - self.alpha) * losses.mse(student.logits, teacher.logits, context.mask)}


@dataclass(frozen=True)
class ContinuationObjective(WithTeacher):
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


@dataclass(frozen=True)
class DecoupledKD(HardTerm):
    """hard·CE + w·T²·(α·TCKD + β·NCKD), w rising linearly to 1 over ``warmup`` (Zhao et al. 2022).

    Attributes:
        alpha: weight of the target class against the rest.
        beta: weight of the other classes among themselves; without effect when there are two classes.
        temperature: T.
        warmup: share of the stage in which the teacher's terms rise.
    """

    alpha: float = 1.0
    beta: float = 8.0
    temperature: float = 4.0
    warmup: float = 1 / 12

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """TCKD and NCKD, weighted."""
        from kdbench.methods import losses

        labels = required(context.labels, "labels")
        target, others = losses.decoupled_divergences(student.logits, teacher.logits, labels, self.temperature)
        weight = min(context.progress / self.warmup, 1.0) if self.warmup else 1.0
        scale = weight * self.temperature**2
        return {"target": scale * self.alpha * target, "others": scale * self.beta * others}


@dataclass(frozen=True)
class RelationalLogits(HardTerm):
    """hard·CE + T²·(β·(1 - ρ of rows) + γ·(1 - ρ of columns)) of the probabilities (DIST, Huang et al. 2022).

    Attributes:
        beta: weight of the inter-class relation, rows.
        gamma: weight of the intra-class relation, columns.
        temperature: T of both softmaxes.
    """

    beta: float = 2.0
    gamma: float = 2.0
    temperature: float = 4.0

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """Both relations, weighted."""
        from kdbench.methods import losses

        pS, pT = ((outputs.logits / self.temperature).softmax(-1) for outputs in (student, teacher))  # noqa: N806
        scale = self.temperature**2
        return {
            "inter": scale * self.beta * losses.pearson_distance(pS, pT),
            "intra": scale * self.gamma * losses.pearson_distance(pS.T, pT.T),
        }


@dataclass(frozen=True)
class StandardizedKD(HintonTerms):
    """hard·CE + kd·T²·KL of logits brought to mean 0 and deviation 1 in every row (Sun et al. 2024)."""

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """kd·T²·KL of the z-scores."""
        from kdbench.methods import losses

        standard = [Outputs(losses.standardized(outputs.logits, context.mask)) for outputs in (student, teacher)]
        return {"soft": self.kd_weight * hinton_loss(standard[0], standard[1], context, self.temperature)}
