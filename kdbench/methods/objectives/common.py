"""What objectives are made of: the loss against labels, Hinton's loss with free weights, and their needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from kdbench.errors import MethodError
from kdbench.methods.contract import Context, Outputs

if TYPE_CHECKING:
    from torch import Tensor

ValueT = TypeVar("ValueT")


def supervised_loss(student: Outputs, labels: Tensor, context: Context, smoothing: float = 0.0) -> Tensor:
    """CE against class indices, or MSE against scores."""
    from kdbench.methods import losses

    if context.regression:
        return losses.mse(student.logits.squeeze(-1), labels)
    return losses.cross_entropy(student.logits, labels, smoothing, context.mask)


def hinton_loss(student: Outputs, teacher: Outputs, context: Context, temperature: float) -> Tensor:
    """T²·KL(pT ‖ pS) at ``temperature``, or MSE between scores."""
    from kdbench.methods import losses

    if context.regression:
        return losses.mse(student.logits, teacher.logits)
    return temperature**2 * losses.kl_divergence(student.logits, teacher.logits, temperature)


def required(value: ValueT | None, what: str) -> ValueT:
    """``value``, which the trainer hands over when the objective says that it needs it.

    Raises:
        MethodError: it is missing.
    """
    if value is None:
        raise MethodError(f"the objective needs {what}, and this model or trainer gives none")
    return value


class NoTeacher:
    """An objective that needs labels only."""

    uses_teacher = False

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """Nothing."""
        return {}


class WithTeacher:
    """An objective that compares with a teacher."""

    uses_teacher = True


@dataclass(frozen=True)
class HardTerm(WithTeacher):
    """hard·CE, to which every method of the second ring adds its own comparison with the teacher.

    Attributes:
        hard_weight: of the CE against labels; 0 leaves the term out.
    """

    hard_weight: float = 1.0

    def hard(self, student: Outputs, labels: Tensor, context: Context) -> dict[str, Tensor]:
        """hard·CE."""
        return {"hard": self.hard_weight * supervised_loss(student, labels, context)} if self.hard_weight else {}


@dataclass(frozen=True)
class HintonTerms(HardTerm):
    """hard·CE + kd·T²·KL, to which the methods on features add terms.

    Attributes:
        kd_weight: of T²·KL between the logits; 0 leaves the term out.
        temperature: T.
    """

    kd_weight: float = 0.0
    temperature: float = 4.0

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """kd·T²·KL."""
        if not self.kd_weight:
            return {}
        return {"soft": self.kd_weight * hinton_loss(student, teacher, context, self.temperature)}
