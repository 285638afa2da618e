"""Plain logit regression: the control for Annealing-KD."""

from __future__ import annotations

from pydantic import Field

from kdbench.budget import Updates
from kdbench.methods.base import Method, Part, with_defaults
from kdbench.methods.objectives import LogitMSE
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import constant
from kdbench.methods.settings import TeacherChoice
from kdbench.methods.stages import Stage, Trajectory


@register_method("logit-mse", cite="Ba & Caruana, NeurIPS 2014; Kim et al., IJCAI 2021")
class LogitRegression(Method):
    """L = α·CE(y, zS) + (1-α)·MSE(zS, zT), mean over batch and classes; labels unused by default.

    On images 200 epochs, our choice: those of stage I of ``annealing``, whose control it is.
    """

    class Config(TeacherChoice):
        """Settings of ``logit-mse``."""

        alpha: float = Field(0.0, ge=0, lt=1, description="weight of the labels")
        epochs: float = Field(3, gt=0, description="epochs under the paper budget")

    ImageConfig = with_defaults(Config, epochs=200)

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """One stage with one teacher."""
        (steps,) = budget.split([self.config.epochs])
        teacher = trajectory.named(self.config.teacher)
        return [Stage("logit-mse", constant(steps, teacher), LogitMSE(self.config.alpha))]

    def part(self) -> Part:
        """The objective."""
        return Part(objective=LogitMSE(self.config.alpha))
