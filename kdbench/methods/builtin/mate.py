"""MATE-KD: masked adversarial text, a game between a generator and the student."""

from __future__ import annotations

from pydantic import Field

from kdbench.budget import Updates
from kdbench.methods.augment.adversarial_images import SmallBallConfig
from kdbench.methods.augment.masked_text import MaskedTextConfig
from kdbench.methods.base import Method, Part
from kdbench.methods.objectives import KDObjective
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import constant
from kdbench.methods.settings import TeacherChoice
from kdbench.methods.stages import Stage, Trajectory


@register_method("mate", cite="Rashid et al., ACL 2021, arXiv:2105.05912")
class MATE(Method):
    """L = 1/3·CE(y, zS(x)) + 1/3·D(zT(x), zS(x)) + 1/3·D(zT(x'), zS(x')).

    D is the soft cross-entropy at T = 1 (MSE for regression). x' is x with ρ = 0.3 of its ordinary
    tokens masked and refilled by a masked-LM generator through a straight-through Gumbel-softmax
    (temperature 1, hard). 10 generator updates, which maximise D(zT(x'), zS(x')), alternate with 100
    student updates. Teacher, student and generator must share one vocabulary. Of questions only context
    tokens outside the answer are masked.

    Images are an extension of the paper, with settings of our choice: x' is found by a few projected
    gradient steps that maximise the same D(zT(x'), zS(x')) in a small L∞ ball around every batch.
    """

    class Config(TeacherChoice, MaskedTextConfig):
        """Settings of ``mate``."""

        epochs: float = Field(3, gt=0, description="epochs under the paper budget")

    class ImageConfig(TeacherChoice, SmallBallConfig):
        """Settings of ``mate`` on images."""

        epochs: float = Field(200, gt=0, description="epochs under the paper budget")

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """One stage; soft terms are averaged over x and x', which gives the three thirds."""
        (steps,) = budget.split([self.config.epochs])
        legs = constant(steps, trajectory.named(self.config.teacher))
        objective = KDObjective(alpha=1 / 3, temperature=1.0, divergence="soft-ce")
        return [Stage("mate", legs, objective, self.config.augmenter("soft-ce"))]

    def part(self) -> Part:
        """The augmenter: ``prokd+mate`` shows adversarial text or images to Pro-KD's general stage.

        What is maximised is the MSE of logits then, as in Combined-KD.
        """
        return Part(augmenter=self.config.augmenter("mse"))
