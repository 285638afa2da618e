"""Annealing-KD: follow the annealed teacher, then the labels."""

from __future__ import annotations

from pydantic import Field, PositiveFloat

from kdbench.budget import Updates
from kdbench.methods.base import Method, with_defaults
from kdbench.methods.objectives import CrossEntropy, LogitMSE
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import constant
from kdbench.methods.settings import AnnealedTeacher
from kdbench.methods.stages import Stage, Trajectory


@register_method("annealing", cite="Jafari et al., EACL 2021, arXiv:2104.07163")
class AnnealingKD(Method):
    """Stage I: L = MSE(zS, Φ(T)·zT), Φ(T) = 1 - (T-1)/Tmax, T = Tmax … 1 in equal shares.

    Stage II, from the best student of stage I: L = CE(y, zS); the teacher is gone; new optimizer
    and learning-rate schedule. Only the teacher's logits are scaled, and Φ ends at exactly 1.
    Paper settings on GLUE: 14 + 4 epochs, Tmax 7, lr 2e-5, batch 32; on CIFAR 200 + 200 epochs, Tmax 10.
    """

    class Config(AnnealedTeacher):
        """Settings of ``annealing``."""

        max_temperature: int = Field(7, ge=1, description="Tmax")
        epochs: tuple[PositiveFloat, PositiveFloat] = Field(
            (14, 4), description="epochs of the two stages in the paper; a matched budget keeps their proportion"
        )

    ImageConfig = with_defaults(Config, max_temperature=10, epochs=(200, 200))

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """Annealed logits, then labels."""
        first, second = budget.split(self.config.epochs)
        return [
            Stage("annealing", self.config.legs(first, trajectory), LogitMSE()),
            Stage("labels", constant(second), CrossEntropy(), start="best"),
        ]
