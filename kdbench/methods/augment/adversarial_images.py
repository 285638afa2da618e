"""The settings of adversarial images; the work is in ``adversarial_images_run``, imported when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kdbench.methods.base import MethodConfig

if TYPE_CHECKING:
    from kdbench.methods.augment.base import AugmenterContext, AugmenterRun


@dataclass(frozen=True)
class AdversarialImages:
    """Images inside a small L∞ ball around the originals, found by projected gradient ascent.

    Attributes:
        divergence: what is maximised. ``ce``: CE(y, zS(x')), Madry et al. 2018. ``kl``: KL(pT(x) ‖ pS(x')) with the
            teacher's answer to the original. ``soft-ce`` and ``mse``: the distance of zS(x') from zT(x'), the game
            of MATE-KD, whose gradient flows through both models.
        epsilon: radius of the ball, of pixels in [0, 1].
        step_size: length of a step in every pixel.
        steps: gradient steps from a random start.
        share: weight of the adversarial images in the soft terms.
    """

    divergence: Literal["ce", "kl", "soft-ce", "mse"]
    epsilon: float
    step_size: float
    steps: int
    share: float = 0.5

    needs_generator: ClassVar[bool] = False

    @property
    def live_teacher(self) -> bool:
        """MATE-KD's game asks the teacher about x'; the others make do with its answer to x."""
        return self.divergence in ("soft-ce", "mse")

    @property
    def inner_passes(self) -> int:
        """One for each step."""
        return self.steps

    @property
    def teacher_reads(self) -> Literal["augmented", "original"]:
        """The student is compared with the teacher where the game was played."""
        return "augmented" if self.live_teacher else "original"

    def generator_updates(self, student_updates: int) -> int:
        """There is no generator."""
        return 0

    def start(self, context: AugmenterContext) -> AugmenterRun:
        """Begin one stage."""
        from kdbench.methods.augment.adversarial_images_run import AdversarialImagesRun

        return AdversarialImagesRun(self, context)


class BallConfig(MethodConfig):
    """The settings of adversarial images; the defaults are those of adversarial training on CIFAR."""

    epsilon: float = Field(8 / 255, gt=0, le=1, description="radius of the L∞ ball, of pixels in [0, 1]")
    step_size: float = Field(2 / 255, gt=0, le=1, description="length of a gradient step in every pixel")
    steps: int = Field(10, ge=1, description="gradient steps in an update")

    def augmenter(self, divergence: Literal["ce", "kl", "soft-ce", "mse"], share: float = 0.5) -> AdversarialImages:
        """The augmenter that maximises ``divergence`` in this ball."""
        return AdversarialImages(divergence, self.epsilon, self.step_size, self.steps, share)


class SmallBallConfig(BallConfig):
    """A smaller ball and fewer steps: our choice for MATE-KD's game, which no paper plays on images."""

    epsilon: float = Field(4 / 255, gt=0, le=1, description="radius of the L∞ ball, of pixels in [0, 1]")
    steps: int = Field(3, ge=1, description="gradient steps in an update")
