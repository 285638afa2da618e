"""ARD: distil robustness, with the student attacked in every update."""

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


@register_method("ard", cite="Goldblum et al., AAAI 2020, arXiv:1905.09747")
class ARD(Method):
    """L = α·T²·KL(pT(x) ‖ pS(x')) + (1-α)·CE(y, zS(x)).

    The teacher answers to the original x. x' is x moved by projected gradient ascent on CE(y, zS(x')) in an
    L∞ ball: 10 steps of 2/255 from a random start, radius 8/255. α = 1 and T = 30 are the released defaults;
    the released KL is a mean over classes too, C times smaller than the formula's, which stands here. The
    student is in eval mode while x' is made. The teacher gives robustness only as far as it is robust itself.
    """

    kinds = ("image-classification",)

    class Config(TeacherChoice, BallConfig):
        """Settings of ``ard``."""

        alpha: float = Field(1.0, gt=0, le=1, description="weight of the teacher; 1 - alpha is the labels'")
        temperature: float = Field(30.0, gt=0, description="T, of both softmaxes")
        epochs: float = Field(200, gt=0, description="epochs under the paper budget")

        def objective(self) -> KDObjective:
            """Hinton's loss; its weight of the labels is 1 - α here."""
            return KDObjective(1 - self.alpha, self.temperature)

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """One stage, in which only x' is compared with the teacher."""
        config = self.config
        (steps,) = budget.split([config.epochs])
        legs = constant(steps, trajectory.named(config.teacher))
        return [Stage("ard", legs, config.objective(), config.augmenter("ce", share=1.0))]

    def part(self) -> Part:
        """Loss and attack: ``prokd+ard`` follows the teacher's checkpoints robustly."""
        return Part(self.config.objective(), self.config.augmenter("ce", share=1.0))
