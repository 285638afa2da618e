"""FreeLB-KD: distillation on word embeddings that are moved against the student."""

from __future__ import annotations

from pydantic import Field

from kdbench.budget import Updates
from kdbench.methods.augment.adversarial_embeddings import AdversarialEmbeddings
from kdbench.methods.base import Method, Part
from kdbench.methods.builtin.kd import KDConfig
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import constant
from kdbench.methods.settings import TeacherChoice
from kdbench.methods.single_stage import TEXT
from kdbench.methods.stages import Stage, Trajectory


@register_method("freelb-kd", cite="Zhu et al., ICLR 2020, arXiv:1909.11764")
class FreeLBKD(Method):
    """L = α·CE(y, zS(x)) + (1-α)·1/K·Σk T²·KL(pT(x) ‖ pS(x + δk)), δ added to the student's word embeddings.

    δ0 is uniform noise; δk = Π(δk-1 + step·g/‖g‖) with g the gradient of the KL by δ, Π the projection into
    the ball of radius ε, norms those of a whole text (Frobenius), padding untouched. FreeLB adds up the
    gradients of its K iterates; as the weights stand still meanwhile, one update on all K views is the same.

    A reconstruction: FreeLB is defined for labels, and here the teacher's answer to the original text takes
    their place. Two things differ by design. The label term sees the original text, and δ is found in eval
    mode, where FreeLB keeps one dropout mask for all iterates. K, the step, ε and the initial norm are those of
    the released STS-B run; other tasks have 2-3 iterates, steps of 0.03-0.1 and ε of 0.12-0.6.
    """

    kinds = TEXT

    class Config(TeacherChoice, KDConfig):
        """Settings of ``freelb-kd``."""

        epsilon: float = Field(0.28, gt=0, description="ε, largest norm of a perturbation")
        initial_norm: float = Field(0.16, ge=0, description="largest norm of the random start")
        step_size: float = Field(0.1, gt=0, description="norm of an ascent step")
        steps: int = Field(3, ge=1, description="K, views of every text: the random start and K - 1 ascended ones")

        def augmenter(self) -> AdversarialEmbeddings:
            """The augmenter that maximises the KL with these settings."""
            return AdversarialEmbeddings(self.temperature, self.epsilon, self.initial_norm, self.step_size, self.steps)

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """One stage, in which only perturbed texts are compared with the teacher."""
        config = self.config
        (steps,) = budget.split([config.epochs])
        legs = constant(steps, trajectory.named(config.teacher))
        return [Stage("freelb-kd", legs, config.objective(), config.augmenter())]

    def part(self) -> Part:
        """Loss and perturbation: ``annealing+freelb-kd`` anneals both."""
        return Part(self.config.objective(), self.config.augmenter())
