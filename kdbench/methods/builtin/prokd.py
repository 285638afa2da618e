"""Pro-KD: follow in the teacher's footsteps."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from kdbench.budget import Updates
from kdbench.methods.base import Method, MethodConfig, with_defaults
from kdbench.methods.contract import Objective
from kdbench.methods.objectives import CrossEntropy, KDObjective, LogitMSE
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import anchors, constant, falling_temperatures, walk
from kdbench.methods.stages import Stage, TeacherRef, Trajectory


@register_method("prokd", cite="Rezagholizadeh et al., COLING 2022, arXiv:2110.08532")
class ProKD(Method):
    """General stage: for the checkpoints T1 … Tn of the teacher in order, L = MSE(zS, Φi·zTi).

    Φi = 1/τi with τ falling linearly from τmax to 1. Task stage, from the best student of the general
    stage: L = CE(y, zS). A reconstruction: only the abstract could be read, so the spacing, the loss,
    τmax and the stage lengths are settings, not the paper's word; the lengths are those of ``annealing``.
    """

    class Config(MethodConfig):
        """Settings of ``prokd``."""

        loss: Literal["mse", "kl"] = Field("mse", description="how the student follows a checkpoint")
        adaptive_temperature: bool = Field(True, description="scale checkpoint i with 1/τi; otherwise not at all")
        max_temperature: float = Field(3.0, ge=1, description="τmax, of the first checkpoint")
        temperature: float = Field(1.0, gt=0, description="T of the 'kl' loss")
        checkpoints: int | None = Field(None, ge=1, description="how many, equally spaced; all when absent")
        epochs: tuple[PositiveFloat, PositiveFloat] = Field(
            (14, 4), description="epochs of the two stages; a matched budget keeps their proportion"
        )

    ImageConfig = with_defaults(Config, epochs=(200, 200))

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """The walk, then the labels."""
        config = self.config
        first, second = budget.split(config.epochs)
        route = anchors(len(trajectory), config.checkpoints or len(trajectory))
        footprints = [TeacherRef("checkpoint", index) for index in route]
        scales = None
        if config.adaptive_temperature:
            scales = [1 / tau for tau in falling_temperatures(config.max_temperature, len(footprints))]
        objective: Objective = LogitMSE() if config.loss == "mse" else KDObjective(0.0, config.temperature)
        return [
            Stage("general", walk(first, footprints, scales), objective),
            Stage("task", constant(second), CrossEntropy(), start="best"),
        ]
