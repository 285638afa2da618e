"""Combined-KD: Annealing-KD's schedule with MATE-KD's augmenter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from kdbench.budget import Updates
from kdbench.methods.base import Method, Stage, Trajectory
from kdbench.methods.builtin.mate import MaskedTextConfig
from kdbench.methods.objectives import CrossEntropy, LogitMSE
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import annealed, constant


@register_method("combined", cite="Li et al., Findings of EMNLP 2021")
class CombinedKD(Method):
    """Stage I: L = ½·MSE(zS(x'), Φ·zT(x')) + ½·MSE(zS(x), Φ·zT(x)), Φ annealed as in Annealing-KD.

    The generator maximises MSE(zS(x'), zT(x')), 10 updates for every 100 of the student. Stage II,
    from the best student of stage I: L = CE(y, zS(x)) on original data, the generator idle.
    Released settings: 30 + 10 epochs, Tmax 10, lr 2e-5, batch 32.
    """

    class Config(MaskedTextConfig):
        """Settings of ``combined``."""

        max_temperature: int = Field(10, ge=1, description="Tmax")
        teacher: Literal["best", "final"] = Field("best", description="which checkpoint of the trajectory teaches")
        epochs: tuple[PositiveFloat, PositiveFloat] = Field(
            (30, 10), description="released epochs of the two stages; a matched budget keeps their proportion"
        )

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """Annealed logits on x and x', then labels on x."""
        first, second = budget.split(self.config.epochs)
        teacher = trajectory.named(self.config.teacher)
        legs = annealed(first, teacher, self.config.max_temperature)
        return [
            Stage("annealing+mate", legs, LogitMSE(), self.config.augmenter("mse")),
            Stage("labels", constant(second), CrossEntropy(), start="best"),
        ]
