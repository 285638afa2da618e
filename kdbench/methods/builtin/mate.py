"""MATE-KD: masked adversarial text, a game between a generator and the student."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kdbench.budget import Updates
from kdbench.methods.augment.masked_text import MaskedText
from kdbench.methods.base import Method, MethodConfig, Part, Stage, Trajectory
from kdbench.methods.objectives import KDObjective
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import constant


class MaskedTextConfig(MethodConfig):
    """The settings of the masked-text augmenter."""

    mask_rate: float = Field(0.3, gt=0, lt=1, description="ρ, share of ordinary tokens that are masked")
    generator_steps: int = Field(10, ge=1, description="generator updates in a round")
    student_steps: int = Field(100, ge=1, description="student updates in a round")
    generator_learning_rate: float = Field(5e-7, gt=0, description="AdamW, constant")
    generator_clip_norm: float = Field(5.0, gt=0, description="largest norm of a generator gradient")
    warmup_steps: int = Field(
        300, ge=0, description="masked-LM updates for a generator that comes without a masked-LM head"
    )

    def augmenter(self, divergence: Literal["soft-ce", "mse"]) -> MaskedText:
        """The augmenter whose generator maximises ``divergence``."""
        fields = {name: getattr(self, name) for name in MaskedTextConfig.model_fields}
        return MaskedText(divergence=divergence, **fields)


@register_method("mate", cite="Rashid et al., ACL 2021, arXiv:2105.05912")
class MATE(Method):
    """L = 1/3·CE(y, zS(x)) + 1/3·D(zT(x), zS(x)) + 1/3·D(zT(x'), zS(x')).

    D is the soft cross-entropy at T = 1 (MSE for regression). x' is x with ρ = 0.3 of its ordinary
    tokens masked and refilled by a masked-LM generator through a straight-through Gumbel-softmax
    (temperature 1, hard). 10 generator updates, which maximise D(zT(x'), zS(x')), alternate with 100
    student updates. Teacher, student and generator must share one vocabulary.
    """

    class Config(MaskedTextConfig):
        """Settings of ``mate``."""

        teacher: Literal["best", "final"] = Field("best", description="which checkpoint of the trajectory teaches")
        epochs: float = Field(3, gt=0, description="epochs under the paper budget")

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """One stage; soft terms are averaged over x and x', which gives the three thirds."""
        (steps,) = budget.split([self.config.epochs])
        legs = constant(steps, trajectory.named(self.config.teacher))
        objective = KDObjective(alpha=1 / 3, temperature=1.0, divergence="soft-ce")
        return [Stage("mate", legs, objective, self.config.augmenter("soft-ce"))]

    def part(self) -> Part:
        """The augmenter: ``prokd+mate`` shows masked adversarial text to Pro-KD's general stage.

        The generator maximises the MSE of logits then, as in Combined-KD.
        """
        return Part(augmenter=self.config.augmenter("mse"))
