"""Fine-tuning without a teacher: the control every leaderboard carries."""

from __future__ import annotations

from pydantic import Field

from kdbench.budget import Updates
from kdbench.methods.base import Method, MethodConfig, with_defaults
from kdbench.methods.objectives import CrossEntropy
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import constant
from kdbench.methods.stages import Stage, Trajectory


@register_method("finetune", cite="control: no distillation")
class Finetune(Method):
    """L = CE(y, zS); MSE for regression. On images 200 epochs, as the students of ``kd`` have."""

    class Config(MethodConfig):
        """Settings of ``finetune``."""

        epochs: float = Field(3, gt=0, description="epochs under the paper budget")

    ImageConfig = with_defaults(Config, epochs=200)

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """One stage on labels."""
        (steps,) = budget.split([self.config.epochs])
        return [Stage("finetune", constant(steps), CrossEntropy())]
