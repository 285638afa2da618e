"""The algorithms an image attack may be made of, and their settings. Plain data, no torch.

Each is torchattacks' implementation; defaults are those of the papers or of AutoAttack, never torchattacks' own.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from kdbench.schema import Spec, is_none

Norm = Literal["Linf", "L2"]

_RESTARTS = Field(1, ge=1, description="runs from other random starts, for each target")
_PATIENCE = Field(
    None,
    ge=1,
    exclude_if=is_none,
    description="queries in a row that did not lower an image's margin, after which it is given up; never unless told",
)
_TARGETS = Field(9, ge=1, description="wrong classes aimed at, the likeliest first; at most all there are")


class Member(Spec):
    """What all algorithms share.

    Attributes:
        norms: those the algorithm exists for.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("Linf", "L2")
    algorithm: str

    @property
    def aims(self) -> int:
        """How many wrong classes it aims at, one after another; 0 for untargeted algorithms."""
        return int(getattr(self, "targets", 0))

    @property
    def runs(self) -> int:
        """How many runs it makes, for each target."""
        return int(getattr(self, "restarts", 1))

    @property
    def passes(self) -> int:
        """At most how many forward passes an image that stands costs; a gradient counts as two more."""
        return self.runs * max(1, self.aims) * self._passes_of_a_run()

    def _passes_of_a_run(self) -> int:
        raise NotImplementedError


class FGSM(Member):
    """One step of the whole epsilon (Goodfellow et al., ICLR 2015)."""

    norms = ("Linf",)
    algorithm: Literal["fgsm"]

    def _passes_of_a_run(self) -> int:
        return 4


class PGD(Member):
    """Projected gradient steps on the cross-entropy from a random start (Madry et al., ICLR 2018)."""

    algorithm: Literal["pgd"]
    steps: int = Field(20, ge=1)
    step_size: float = Field(0.25, gt=0, description="as a share of epsilon: 2/255 at 8/255")
    random_start: bool = True
    restarts: int = _RESTARTS
    patience: int | None = _PATIENCE

    def _passes_of_a_run(self) -> int:
        return 3 * self.steps + 1


class CW(Member):
    """The smallest perturbation by Adam in tanh space (Carlini & Wagner, S&P 2017), constants from a short list.

    The paper searches the constant of each image; a single one, torchattacks' way, misses most images.
    """

    norms = ("L2",)
    algorithm: Literal["cw"]
    steps: int = Field(100, ge=1)
    constants: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.01, 0.1, 1.0, 10.0), min_length=1, description="weights c of the margin against the squared norm, in turn"
    )
    confidence: float = Field(0.0, ge=0, description="margin kappa that is aimed at")
    learning_rate: float = Field(0.01, gt=0)

    @property
    def runs(self) -> int:
        """One for each constant."""
        return len(self.constants)

    def _passes_of_a_run(self) -> int:
        return 3 * self.steps + 1


class AutoPGD(Member):
    """Auto-PGD: momentum, and steps halved where progress stalls (Croce & Hein, ICML 2020)."""

    steps: int = Field(100, ge=1)
    rho: float = Field(0.75, gt=0, lt=1, description="share of improving steps below which the step is halved")
    restarts: int = _RESTARTS
    patience: int | None = _PATIENCE

    @model_validator(mode="after")
    def _waits_for_smaller_steps(self) -> AutoPGD:
        if self.patience is not None and self.patience <= self.first_interval:
            raise ValueError(
                f"a patience of {self.patience} ends before the first check of the step size, "
                f"after {self.first_interval} of {self.steps} steps: give it more, since smaller steps may help"
            )
        return self

    @property
    def first_interval(self) -> int:
        """Steps before the step size is first checked; later intervals are shorter."""
        return max(int(0.22 * self.steps), 1)

    def _passes_of_a_run(self) -> int:
        return 3 * (self.steps + 1)


class APGD(AutoPGD):
    """Auto-PGD on the cross-entropy or the difference-of-logits ratio."""

    algorithm: Literal["apgd-ce", "apgd-dlr"]


class TargetedAPGD(AutoPGD):
    """Auto-PGD on the targeted difference-of-logits ratio, from the likeliest wrong class on."""

    algorithm: Literal["apgd-t"]
    targets: int = _TARGETS


class TargetedFAB(Member):
    """The fast adaptive boundary attack towards one wrong class at a time (Croce & Hein, ICML 2020)."""

    algorithm: Literal["fab-t"]
    steps: int = Field(100, ge=1)
    targets: int = _TARGETS
    alpha_max: float = Field(0.1, gt=0, le=1)
    eta: float = Field(1.05, ge=1, description="overshooting")
    beta: float = Field(0.9, gt=0, le=1, description="backward step")
    restarts: int = _RESTARTS

    def _passes_of_a_run(self) -> int:
        return 4 * self.steps


class Square(Member):
    """Random search with squares; reads logits, no gradients (Andriushchenko et al., ECCV 2020)."""

    algorithm: Literal["square"]
    queries: int = Field(5000, ge=1)
    initial_share: float = Field(0.8, gt=0, le=1, description="of the pixels, in the first square")
    rescale: bool = Field(False, description="shrink squares in proportion to the queries, not as for 10,000")
    restarts: int = _RESTARTS
    patience: int | None = _PATIENCE

    def _passes_of_a_run(self) -> int:
        return self.queries + 1


AnyMember = Annotated[
    FGSM | PGD | CW | APGD | TargetedAPGD | TargetedFAB | Square,
    Field(discriminator="algorithm"),
]
