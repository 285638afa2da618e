"""Annealing-KD: follow the annealed teacher, then the labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from kdbench.budget import Updates
from kdbench.methods.base import Method, MethodConfig, Stage, Trajectory
from kdbench.methods.objectives import CrossEntropy, LogitMSE
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import annealed, constant


@register_method("annealing", cite="Jafari et al., EACL 2021, arXiv:2104.07163")
class AnnealingKD(Method):
    """Stage I: L = MSE(zS, Φ(T)·zT), Φ(T) = 1 - (T-1)/Tmax, T = Tmax … 1 in equal shares.

    Stage II, from the best student of stage I: L = CE(y, zS); the teacher is gone; new optimizer
    and learning-rate schedule. Only the teacher's logits are scaled, and Φ ends at exactly 1.
    Paper settings on GLUE: 14 + 4 epochs, Tmax 7, lr 2e-5, batch 32.
    """

    class Config(MethodConfig):
        """Settings of ``annealing``."""

        max_temperature: int = Field(7, ge=1, description="Tmax")
        teacher: Literal["best", "final"] = Field("best", description="which checkpoint of the trajectory teaches")
        epochs: tuple[PositiveFloat, PositiveFloat] = Field(
            (14, 4), description="epochs of the two stages in the paper; a matched budget keeps their proportion"
        )

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """Annealed logits, then labels."""
        first, second = budget.split(self.config.epochs)
        teacher = trajectory.named(self.config.teacher)
        return [
            Stage("annealing", annealed(first, teacher, self.config.max_temperature), LogitMSE()),
            Stage("labels", constant(second), CrossEntropy(), start="best"),
        ]
