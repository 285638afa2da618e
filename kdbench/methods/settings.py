"""Settings that many methods share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kdbench.methods.base import MethodConfig
from kdbench.methods.schedules import annealed
from kdbench.methods.stages import Leg, Trajectory


class TeacherChoice(MethodConfig):
    """Which checkpoint teaches, in methods that have one teacher."""

    teacher: Literal["best", "final"] = Field("best", description="which checkpoint of the trajectory teaches")


class AnnealedTeacher(TeacherChoice):
    """One teacher, whose logits are annealed."""

    max_temperature: int = Field(10, ge=1, description="Tmax")

    def legs(self, steps: int, trajectory: Trajectory) -> tuple[Leg, ...]:
        """The chosen teacher at Φ = 1/Tmax … 1, in equal shares of the steps."""
        return annealed(steps, trajectory.named(self.teacher), self.max_temperature)
