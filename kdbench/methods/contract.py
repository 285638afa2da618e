"""What the trainer hands to objectives and augmenters, and what it asks of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from kdbench.methods.augment.base import AugmenterContext, AugmenterRun

Need = Literal["hidden_states", "attentions", "projections"]


@dataclass(frozen=True)
class Outputs:
    """What a model returned; everything but the logits only when the objective asks for it.

    Attributes:
        logits: ``(batch, classes)``; ``(batch, 1)`` scores for regression; ``(batch, 2, tokens)`` for question
            answering, where answers start and end: the tokens are the classes.
        hidden_states: text: embeddings and every layer's output, ``(batch, tokens, width)`` each. Images: the
            stem's output and every stage's, ``(batch, channels, height, width)`` each, and last the pooled features
            ``(batch, channels)``.
        attentions: text only, ``(batch, heads, tokens, tokens)`` of every layer.
        projections: text only, (queries, keys, values) of every layer, ``(batch, tokens, width)`` each, all heads
            side by side.
    """

    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    projections: tuple[tuple[Tensor, Tensor, Tensor], ...] | None = None


@dataclass(frozen=True)
class Context:
    """What an objective may know about the moment.

    Attributes:
        regression: whether logits are scores rather than classes.
        scale: Φ, the factor the teacher's logits were multiplied with.
        progress: share of the stage that is done, in [0, 1).
        labels: ``(batch,)`` classes or scores, also for soft terms that look at the target class; ``(batch, 2)``
            tokens that start and end the answer.
        rows: ``(batch,)`` numbers of the examples in the training split.
        inputs: what the student read: ``attention_mask`` tells padding apart, ``answerable`` (question answering)
            the tokens of the context, and the first one, which stands for no answer, from all others.
        seed: of this update, for objectives that draw something.
    """

    regression: bool = False
    scale: float = 1.0
    progress: float = 0.0
    labels: Tensor | None = None
    rows: Tensor | None = None
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    seed: int = 0

    @property
    def mask(self) -> Tensor | None:
        """``(batch, 1, tokens)`` which logits are real; nothing where all are.

        Logits that are not real hold the same very negative number in both models: they have no share of a softmax
        and no distance from each other, but a mean over classes must leave them out, as those in
        :mod:`kdbench.methods.losses` do.
        """
        answerable = self.inputs.get("answerable")
        return None if answerable is None else answerable[:, None, :]


@runtime_checkable
class Objective(Protocol):
    """How student outputs are compared with targets, as named terms whose sum is the loss.

    ``hard`` compares with labels, ``soft`` with the teacher. With an augmenter the soft terms are a weighted mean
    over the original and the augmented inputs; hard terms see original inputs only.
    An objective that wants more than logits says ``needs_hidden_states = True``, ``needs_attentions = True`` or
    ``needs_projections = True``; both models' outputs carry them then, and the teacher is run at every update.
    One that has weights of its own is a :class:`TrainableObjective` as well.
    """

    @property
    def uses_teacher(self) -> bool:
        """Whether ``soft`` returns anything."""
        ...

    def hard(self, student: Outputs, labels: Tensor, context: Context) -> dict[str, Tensor]:
        """Terms against labels, each a scalar."""
        ...

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """Terms against the teacher, each a scalar."""
        ...


@dataclass(frozen=True)
class ObjectiveSetup:
    """What a trainable objective is built from.

    Attributes:
        student, teacher: outputs on one small batch, for their shapes.
        labels: ``(examples,)`` of the whole training split; ``(examples, 2)`` for question answering.
        seed: of the initial weights.
    """

    student: Outputs
    teacher: Outputs
    labels: Tensor
    seed: int


@runtime_checkable
class TrainableObjective(Protocol):
    """An objective with weights or memory of its own: regressors, projections, banks of features.

    The trainer calls ``start`` once a stage and uses what it returns, a ``torch.nn.Module`` with ``hard``, ``soft``
    and ``uses_teacher``. Its parameters are trained with the student's, in the same optimizer; its parameters and
    buffers are part of every checkpoint. It is thrown away after the stage.
    """

    def start(self, setup: ObjectiveSetup) -> Objective:
        """The module for one stage; the global random state is seeded before the call."""
        ...


@runtime_checkable
class Augmenter(Protocol):
    """Which extra inputs the student also sees.

    Attributes:
        share: weight of the augmented inputs in the soft terms, in (0, 1]; the original ones have the rest.
        teacher_reads: whether the teacher is run on the ``augmented`` inputs, or its answer to the ``original``
            ones is the target for both.

    One that searches for its inputs anew at every update says in ``inner_passes`` how many forward and backward
    passes of the student that takes; costs are counted with it.
    """

    share: float
    teacher_reads: Literal["augmented", "original"]

    @property
    def needs_generator(self) -> bool:
        """Whether the pair's generator is used."""
        ...

    @property
    def live_teacher(self) -> bool:
        """Whether the teacher must be run to augment or on the augmented inputs."""
        ...

    def generator_updates(self, student_updates: int) -> int:
        """Updates of the augmenter's own model that go with so many student updates."""
        ...

    def start(self, context: AugmenterContext) -> AugmenterRun:
        """Begin one stage."""
        ...
