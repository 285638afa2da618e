"""RCO: route-constrained optimisation along the teacher's training."""

from __future__ import annotations

from pydantic import Field

from kdbench.budget import Updates
from kdbench.methods.base import Method
from kdbench.methods.builtin.kd import KDConfig, on_images
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import anchors, walk
from kdbench.methods.stages import Stage, TeacherRef, Trajectory


@register_method("rco", cite="Jin et al., ICCV 2019, arXiv:1904.09149")
class RCO(Method):
    """``kd`` from a few checkpoints (anchors) of the teacher in training order.

    Anchors lie at equal epoch intervals, the last one is the final teacher, and all get equal shares
    of the training, under one optimizer and one learning-rate schedule.
    """

    class Config(KDConfig):
        """Settings of ``rco``."""

        anchors: int = Field(4, ge=1, description="number of anchors; all checkpoints when there are fewer")

    ImageConfig = on_images(Config)

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """One stage that changes teachers."""
        (steps,) = budget.split([self.config.epochs])
        route = [TeacherRef("checkpoint", i) for i in anchors(len(trajectory), self.config.anchors)]
        return [Stage("rco", walk(steps, route), self.config.objective())]
