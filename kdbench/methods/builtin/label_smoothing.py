"""Label smoothing: does a uniform "teacher" do as well?"""

from __future__ import annotations

from pydantic import Field

from kdbench.budget import Updates
from kdbench.methods.base import Method, MethodConfig, with_defaults
from kdbench.methods.objectives import CrossEntropy
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import constant
from kdbench.methods.single_stage import CHOICES
from kdbench.methods.stages import Stage, Trajectory


@register_method("label-smoothing", cite="Szegedy et al., CVPR 2016")
class LabelSmoothing(Method):
    """L = CE(y', zS) with y' = (1-s)·y + s/C: a control without a teacher. For classes and for positions of answers.

    On images 200 epochs, as the students of ``kd`` have.
    """

    kinds = CHOICES

    class Config(MethodConfig):
        """Settings of ``label-smoothing``."""

        smoothing: float = Field(0.1, gt=0, lt=1, description="s, mass spread evenly over all classes")
        epochs: float = Field(3, gt=0, description="epochs under the paper budget")

    ImageConfig = with_defaults(Config, epochs=200)

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """One stage on smoothed labels."""
        (steps,) = budget.split([self.config.epochs])
        return [Stage("label-smoothing", constant(steps), CrossEntropy(self.config.smoothing))]
