"""RSLAD: robust soft labels in every term, and no others."""

from __future__ import annotations

from pydantic import Field

from kdbench.budget import Updates
from kdbench.methods.augment.adversarial_images import BallConfig
from kdbench.methods.base import Method, Part
from kdbench.methods.objectives import KDObjective
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import constant
from kdbench.methods.settings import TeacherChoice
from kdbench.methods.stages import Stage, Trajectory

SOFT_LABELS = KDObjective(alpha=0.0, temperature=1.0)


@register_method("rslad", cite="Zi et al., ICCV 2021, arXiv:2108.07969")
class RSLAD(Method):
    """L = 5/6·KL(pT(x) ‖ pS(x')) + 1/6·KL(pT(x) ‖ pS(x)) at T = 1, without labels.

    x' is x moved by projected gradient ascent on KL(pT(x) ‖ pS(x')) in an L∞ ball: 10 steps of 2/255, radius
    8/255. The start is uniform in the ball (released code: normal with deviation 0.001); the released KL is a
    mean over classes too, C times smaller than the formula's, which stands here. The teacher gives robustness
    only as far as it is robust itself.
    """

    kinds = ("image-classification",)

    class Config(TeacherChoice, BallConfig):
        """Settings of ``rslad``."""

        share: float = Field(5 / 6, gt=0, le=1, description="weight of the adversarial images; the rest is the clean's")
        epochs: float = Field(300, gt=0, description="epochs under the paper budget")

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """One stage."""
        config = self.config
        (steps,) = budget.split([config.epochs])
        legs = constant(steps, trajectory.named(config.teacher))
        return [Stage("rslad", legs, SOFT_LABELS, config.augmenter("kl", config.share))]

    def part(self) -> Part:
        """Loss and attack: ``annealing+rslad`` anneals the robust soft labels."""
        return Part(SOFT_LABELS, self.config.augmenter("kl", self.config.share))
