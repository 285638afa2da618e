"""Vanilla knowledge distillation."""

from __future__ import annotations

from pydantic import Field

from kdbench.budget import Updates
from kdbench.methods.base import Method, MethodConfig, Part, with_defaults
from kdbench.methods.objectives import KDObjective
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import constant
from kdbench.methods.settings import TeacherChoice
from kdbench.methods.stages import Stage, TeacherRef, Trajectory


class KDConfig(MethodConfig):
    """The settings of every method whose loss is Hinton's."""

    alpha: float = Field(0.5, ge=0, le=1, description="weight of the labels; 1 - alpha is the teacher's")
    temperature: float = Field(2.0, gt=0, description="T, of both softmaxes")
    epochs: float = Field(3, gt=0, description="epochs under the paper budget")

    def objective(self) -> KDObjective:
        """α·CE + (1-α)·T²·KL with these settings."""
        return KDObjective(self.alpha, self.temperature)


def on_images(config: type[KDConfig]) -> type[MethodConfig]:
    """The same settings with Hinton's loss as papers use it on CIFAR: labels weigh little, T is 4, 200 epochs."""
    return with_defaults(config, alpha=0.1, temperature=4.0, epochs=200)


class OneTeacher(Method):
    """Hinton's loss with one teacher in one stage; subclasses say who teaches."""

    def teacher(self, trajectory: Trajectory) -> TeacherRef:
        """Who teaches."""
        raise NotImplementedError

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """One stage with one teacher."""
        (steps,) = budget.split([self.config.epochs])
        return [Stage(self.name, constant(steps, self.teacher(trajectory)), self.config.objective())]


@register_method("kd", cite="Hinton, Vinyals, Dean, 2015, arXiv:1503.02531")
class KD(OneTeacher):
    """L = α·CE(y, zS) + (1-α)·T²·KL(pT ‖ pS), KL summed over classes, mean over the batch.

    Defaults: α = 0.5, T = 2 for text, α = 0.1, T = 4 for images.
    """

    class Config(TeacherChoice, KDConfig):
        """Settings of ``kd``."""

    ImageConfig = on_images(Config)

    def teacher(self, trajectory: Trajectory) -> TeacherRef:
        """The chosen checkpoint of the trajectory."""
        return trajectory.named(self.config.teacher)

    def part(self) -> Part:
        """The objective: ``annealing+kd`` anneals Hinton's loss."""
        return Part(objective=self.config.objective())
