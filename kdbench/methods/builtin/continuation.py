"""Continuation-KD: anneal the teacher in while the labels take over."""

from __future__ import annotations

from pydantic import Field

from kdbench.budget import Updates
from kdbench.methods.base import Method, with_defaults
from kdbench.methods.objectives import ContinuationObjective
from kdbench.methods.registry import register_method
from kdbench.methods.settings import AnnealedTeacher
from kdbench.methods.stages import Leg, Stage, Trajectory


@register_method("continuation", cite="Jafari et al., Findings of EMNLP 2022")
class ContinuationKD(Method):
    """L = ψ·CE(y, zS) + (1-ψ)·max(0, ‖zS - Φ(T)·zT‖² - m·Φ(T)).

    ψ rises linearly from 0 to ``final_psi`` over the first ``switch`` of the training, then it is 1;
    Φ is annealed over the same share (paper: i/40 up to epoch 20 of 30, Tmax 10, m = 1). The squared
    norm is summed over classes and hinged for each example, as the formula stands; with m = 0 it is
    C times the MSE of ``annealing``. The 200 epochs on images are our choice, a stage of ``annealing``.
    """

    class Config(AnnealedTeacher):
        """Settings of ``continuation``."""

        margin: float = Field(1.0, ge=0, description="m")
        final_psi: float = Field(0.5, ge=0, le=1, description="weight of the labels just before the switch")
        switch: float = Field(2 / 3, gt=0, lt=1, description="share of the training after which only labels count")
        epochs: float = Field(30, gt=0, description="epochs under the paper budget")

    ImageConfig = with_defaults(Config, epochs=200)

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """One stage; the labels' share needs no new optimizer."""
        (steps,) = budget.split([self.config.epochs])
        guided = max(1, round(steps * self.config.switch))
        legs = self.config.legs(guided, trajectory)
        if steps > guided:
            legs += (Leg(steps - guided),)  # labels only: the teacher is gone
        objective = ContinuationObjective(self.config.margin, self.config.final_psi, guided / steps)
        return [Stage("continuation", legs, objective)]
