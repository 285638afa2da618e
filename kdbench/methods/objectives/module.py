"""The base of objectives with weights: a module that adds its terms to those of its settings."""

from __future__ import annotations

from torch import Tensor, nn

from kdbench.methods.contract import Context, Outputs
from kdbench.methods.objectives.common import HintonTerms


class ObjectiveModule(nn.Module):
    """Terms of ``settings`` plus those of :meth:`terms`; its parameters are trained with the student's."""

    uses_teacher = True

    def __init__(self, settings: HintonTerms) -> None:
        super().__init__()
        self._settings = settings

    def hard(self, student: Outputs, labels: Tensor, context: Context) -> dict[str, Tensor]:
        """The settings' own."""
        return self._settings.hard(student, labels, context)

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """The settings' own, and what the module compares."""
        return self._settings.soft(student, teacher, context) | self.terms(student, teacher, context)

    def terms(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """What the module compares, each a scalar."""
        raise NotImplementedError(f"{type(self).__name__} compares nothing")
