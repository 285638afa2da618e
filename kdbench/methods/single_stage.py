"""Methods whose whole schedule is one stage with one teacher: what is their own is the objective."""

from __future__ import annotations

from pydantic import Field

from kdbench.budget import Updates
from kdbench.methods.base import Method, Part
from kdbench.methods.contract import Objective
from kdbench.methods.schedules import constant
from kdbench.methods.settings import TeacherChoice
from kdbench.methods.stages import Stage, Trajectory

CLASSES = ("text-classification", "image-classification")
CHOICES = (*CLASSES, "question-answering")
TEXT = ("text-classification", "text-regression", "question-answering")
IMAGES = ("image-classification",)


class SingleStageConfig(TeacherChoice):
    """Settings of a method that is an objective, and the objective they make."""

    epochs: float = Field(3, gt=0, description="epochs under the paper budget")

    def objective(self) -> Objective:
        """The objective with these settings."""
        raise NotImplementedError(f"{type(self).__name__} makes no objective")


class HintonConfig(SingleStageConfig):
    """Weights of the labels and of Hinton's loss, which features are compared beside."""

    hard_weight: float = Field(1.0, ge=0, description="weight of the CE against labels")
    kd_weight: float = Field(0.0, ge=0, description="weight of T²·KL between the logits")
    temperature: float = Field(4.0, gt=0, description="T of T²·KL")

    def hinton(self) -> dict[str, float]:
        """These three, as :class:`~kdbench.methods.objectives.common.HintonTerms` takes them."""
        return {"hard_weight": self.hard_weight, "kd_weight": self.kd_weight, "temperature": self.temperature}


class SingleStage(Method):
    """One stage with the chosen teacher; after a '+' its objective takes over another schedule."""

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """The whole budget under the objective."""
        (steps,) = budget.split([self.config.epochs])
        teacher = trajectory.named(self.config.teacher)
        return [Stage(self.name, constant(steps, teacher), self.config.objective())]

    def part(self) -> Part:
        """The objective."""
        return Part(objective=self.config.objective())
