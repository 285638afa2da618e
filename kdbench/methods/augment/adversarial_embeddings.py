"""The settings of FreeLB's augmenter; the work is in ``adversarial_embeddings_run``, imported when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from kdbench.methods.augment.base import AugmenterContext, AugmenterRun


@dataclass(frozen=True)
class AdversarialEmbeddings:
    """Word embeddings moved so that the student disagrees with the teacher's answer to the original text.

    Attributes:
        temperature: T of the KL that is maximised.
        epsilon: largest Frobenius norm of the perturbation of one text.
        initial_norm: largest norm of the random start.
        step_size: norm of a step.
        steps: K, views of every text: the random start and K - 1 ascended ones.
    """

    temperature: float
    epsilon: float
    initial_norm: float
    step_size: float
    steps: int

    share: ClassVar[float] = 1.0  # FreeLB never trains on the text itself
    teacher_reads: ClassVar[Literal["augmented", "original"]] = "original"
    needs_generator: ClassVar[bool] = False
    live_teacher: ClassVar[bool] = False

    @property
    def inner_passes(self) -> int:
        """One for each ascent."""
        return self.steps - 1

    def generator_updates(self, student_updates: int) -> int:
        """There is no generator."""
        return 0

    def start(self, context: AugmenterContext) -> AugmenterRun:
        """Begin one stage."""
        from kdbench.methods.augment.adversarial_embeddings_run import AdversarialEmbeddingsRun

        return AdversarialEmbeddingsRun(self, context)
