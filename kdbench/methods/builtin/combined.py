"""Combined-KD: Annealing-KD's schedule with MATE-KD's augmenter."""

from __future__ import annotations

from pydantic import Field, PositiveFloat

from kdbench.budget import Updates
from kdbench.methods.augment.adversarial_images import SmallBallConfig
from kdbench.methods.augment.masked_text import MaskedTextConfig
from kdbench.methods.base import Method
from kdbench.methods.objectives import CrossEntropy, LogitMSE
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import constant
from kdbench.methods.settings import AnnealedTeacher
from kdbench.methods.stages import Stage, Trajectory


@register_method("combined", cite="Li et al., Findings of EMNLP 2021")
class CombinedKD(Method):
    """Stage I: L = ½·MSE(zS(x'), Φ·zT(x')) + ½·MSE(zS(x), Φ·zT(x)), Φ annealed as in Annealing-KD.

    The generator maximises MSE(zS(x'), zT(x')), 10 updates for every 100 of the student. Stage II,
    from the best student of stage I: L = CE(y, zS(x)) on original data, the generator idle.
    Released settings: 30 + 10 epochs, Tmax 10, lr 2e-5, batch 32. Of questions x' differs from x in context
    tokens outside the answer only.

    Images are an extension of the paper: x' is found by projected gradient steps in a small L∞ ball that
    maximise the same MSE(zS(x'), zT(x')). The ball is our choice, the schedule that of ``annealing`` on images.
    """

    class Config(AnnealedTeacher, MaskedTextConfig):
        """Settings of ``combined``."""

        epochs: tuple[PositiveFloat, PositiveFloat] = Field(
            (30, 10), description="released epochs of the two stages; a matched budget keeps their proportion"
        )

    class ImageConfig(AnnealedTeacher, SmallBallConfig):
        """Settings of ``combined`` on images."""

        epochs: tuple[PositiveFloat, PositiveFloat] = Field(
            (200, 200), description="epochs of the two stages; a matched budget keeps their proportion"
        )

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """Annealed logits on x and x', then labels on x."""
        first, second = budget.split(self.config.epochs)
        return [
            Stage("annealing+mate", self.config.legs(first, trajectory), LogitMSE(), self.config.augmenter("mse")),
            Stage("labels", constant(second), CrossEntropy(), start="best"),
        ]
