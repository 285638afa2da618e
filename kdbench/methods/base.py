"""The method contract: a method turns a budget and a teacher's trajectory into stages.

Nothing here imports torch: planning, listing and describing methods needs none.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, get_args, runtime_checkable

from pydantic import ValidationError, create_model

from kdbench.budget import Updates
from kdbench.errors import MethodError
from kdbench.schema import Spec, explain

if TYPE_CHECKING:
    from torch import Tensor

    from kdbench.methods.augment.base import AugmenterContext, AugmenterRun

Kind = Literal["text-classification", "text-regression", "image-classification"]
KINDS: tuple[Kind, ...] = ("text-classification", "text-regression", "image-classification")
"""Kinds of task; what stands before the dash is the modality."""

Need = Literal["hidden_states", "attentions", "projections"]


def modality(kind: str) -> Literal["text", "image"]:
    """``text`` or ``image``: which pairs, attacks and input formats go with a kind of task."""
    return "image" if kind.startswith("image-") else "text"


@dataclass(frozen=True)
class TeacherRef:
    """A frozen teacher: a checkpoint of the trajectory, an assistant, or random weights."""

    kind: Literal["checkpoint", "assistant", "random"]
    index: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """One footprint of the teacher: where it was left and how good it was on the selection split."""

    index: int
    epoch: float
    step: int
    score: float


@dataclass(frozen=True)
class Trajectory:
    """The ordered checkpoints of the teacher, and the assistants the pair offers."""

    checkpoints: tuple[Checkpoint, ...]
    assistants: int = 0

    @classmethod
    def nominal(cls, length: int, assistants: int = 0) -> Trajectory:
        """A trajectory of ``length`` checkpoints that does not exist yet, for planning."""
        return cls(tuple(Checkpoint(i, float(i + 1), i + 1, float(i)) for i in range(length)), assistants)

    def __len__(self) -> int:
        return len(self.checkpoints)

    @property
    def final(self) -> TeacherRef:
        """The last checkpoint."""
        return TeacherRef("checkpoint", len(self.checkpoints) - 1)

    @property
    def best(self) -> TeacherRef:
        """The checkpoint with the best selection score; the earliest of equals."""
        scores = [checkpoint.score for checkpoint in self.checkpoints]
        return TeacherRef("checkpoint", scores.index(max(scores)))

    def named(self, which: Literal["best", "final"]) -> TeacherRef:
        """``best`` or ``final``, as methods' configurations say it."""
        return self.best if which == "best" else self.final


@dataclass(frozen=True)
class Outputs:
    """What a model returned; everything but the logits only when the objective asks for it.

    Attributes:
        logits: ``(batch, classes)``; ``(batch, 1)`` scores for regression.
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
        labels: ``(batch,)`` classes or scores, also for soft terms that look at the target class.
        rows: ``(batch,)`` numbers of the examples in the training split.
        inputs: what the student read: ``attention_mask`` tells padding apart.
        seed: of this update, for objectives that draw something.
    """

    regression: bool = False
    scale: float = 1.0
    progress: float = 0.0
    labels: Tensor | None = None
    rows: Tensor | None = None
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    seed: int = 0


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
        labels: ``(examples,)`` of the whole training split.
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


@dataclass(frozen=True)
class Leg:
    """Consecutive updates with one teacher and one scale Φ of its logits."""

    steps: int
    teacher: TeacherRef | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class Stage:
    """One uninterrupted stretch of student training: one optimizer, one learning-rate schedule.

    Attributes:
        name: shown in progress and logs.
        legs: who teaches for how long, in order.
        objective: the loss.
        augmenter: extra inputs, or none.
        start: the student it starts from: the ``last`` of the previous stage or its ``best``.
    """

    name: str
    legs: tuple[Leg, ...]
    objective: Objective
    augmenter: Augmenter | None = None
    start: Literal["last", "best"] = "last"

    @property
    def steps(self) -> int:
        """Updates in this stage."""
        return sum(leg.steps for leg in self.legs)

    @cached_property
    def each_leg(self) -> list[Leg]:
        """The leg of every update."""
        return [leg for leg in self.legs for _ in range(leg.steps)]

    @property
    def distills(self) -> bool:
        """Whether a teacher takes part."""
        return self.objective.uses_teacher

    def needs(self, what: Need) -> bool:
        """Whether the objective asks for more than logits, by ``needs_hidden_states`` and its like."""
        return bool(getattr(self.objective, f"needs_{what}", False))

    @property
    def live_teacher(self) -> bool:
        """Whether cached logits are not enough for original inputs."""
        return any(self.needs(what) for what in get_args(Need))

    @property
    def taught(self) -> int:
        """Updates in which a teacher takes part."""
        return sum(leg.steps for leg in self.legs if leg.teacher) if self.distills else 0

    @property
    def adversarial_passes(self) -> int:
        """Forward and backward passes of the student inside its augmenter, in updates."""
        return self.taught * int(getattr(self.augmenter, "inner_passes", 0))

    def live_teacher_updates(self) -> int:
        """Forward passes of the teacher during the stage, in updates."""
        return self.taught * (int(self.live_teacher) + int(self.augmenter is not None and self.augmenter.live_teacher))


@dataclass(frozen=True)
class Part:
    """What a method contributes when it stands after a '+': an objective or an augmenter."""

    objective: Objective | None = None
    augmenter: Augmenter | None = None


class MethodConfig(Spec):
    """Base of every method's settings; the defaults are the documentation."""


def with_defaults(config: type[MethodConfig], **defaults: Any) -> type[MethodConfig]:
    """The same settings with other defaults, as images have them in most papers."""
    fields: dict[str, Any] = {}
    for name, default in defaults.items():
        known = copy.copy(config.model_fields[name])
        known.default = default
        fields[name] = (known.annotation, known)
    return create_model(config.__name__, __base__=config, __module__=config.__module__, **fields)


@dataclass(frozen=True)
class MethodCost:
    """What a method spends, in units that do not depend on the machine."""

    student_updates: int
    live_teacher_updates: int
    cached_checkpoints: int
    generator_updates: int
    adversarial_passes: int
    assistants: int


class Method:
    """A distillation algorithm. Subclass it, name it with :func:`register_method`, write ``stages``.

    A method object serves one kind of task. Where the settings for images differ, the class has an
    ``ImageConfig`` beside ``Config``; :func:`with_defaults` makes one that differs in its defaults only.
    """

    name: ClassVar[str] = ""
    cite: ClassVar[str] = ""
    kinds: ClassVar[tuple[str, ...]] = KINDS

    class Config(MethodConfig):
        """No settings."""

    ImageConfig: ClassVar[type[MethodConfig] | None] = None

    def __init__(self, config: Any = None, kind: str = KINDS[0]) -> None:
        """Validate the settings.

        Args:
            config: a ``Config``, a mapping of its fields, or nothing for the defaults.
            kind: of the task.

        Raises:
            MethodError: one line per setting that is unknown or out of range, or a kind that is not supported.
        """
        self.kind = kind
        self.check_kind(kind)
        values = config.model_dump() if isinstance(config, MethodConfig) else dict(config or {})
        settings = self.config_class(kind)
        try:
            self.config: Any = settings.model_validate(values)
        except ValidationError as error:
            raise MethodError(explain(error, settings, f"method {self.name}")) from None

    @classmethod
    def config_class(cls, kind: str) -> type[MethodConfig]:
        """The settings that the method has on a kind of task."""
        return cls.ImageConfig if modality(kind) == "image" and cls.ImageConfig else cls.Config

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """The student's training, from first to last stage.

        Args:
            budget: the updates to spend.
            trajectory: the teacher's checkpoints; only a nominal one while planning.
        """
        raise NotImplementedError(f"method {self.name} defines no stages")

    def part(self) -> Part:
        """This method as an addition to another one (``prokd+mate``).

        Raises:
            MethodError: when it only makes sense by itself.
        """
        raise MethodError(f"method '{self.name}' is a schedule: it can stand before a '+', not after it")

    def assistant_method(self) -> tuple[str, dict[str, Any]]:
        """Name and settings of the method that trains the pair's assistants, where they are used."""
        return "kd", {}

    @property
    def needs_assistant(self) -> bool:
        """Whether the pair must name one."""
        return False

    def check_kind(self, kind: str) -> None:
        """Refuse tasks the method is not defined for.

        Raises:
            MethodError: naming what it supports.
        """
        if kind not in self.kinds:
            raise MethodError(f"method {self.name} is not defined for {kind}, only for {', '.join(self.kinds)}")

    def parts(self) -> list[Method]:
        """The methods this one is composed of: itself, unless composed with '+'."""
        return [self]

    def cost(self, budget: Updates, trajectory: Trajectory) -> MethodCost:
        """Count what training under this method takes."""
        stages = self.stages(budget, trajectory)
        augmented = [stage for stage in stages if stage.augmenter]
        refs = {leg.teacher for stage in stages if stage.distills for leg in stage.legs if leg.teacher}
        return MethodCost(
            student_updates=sum(stage.steps for stage in stages),
            live_teacher_updates=sum(stage.live_teacher_updates() for stage in stages),
            cached_checkpoints=len(refs),
            generator_updates=sum(s.augmenter.generator_updates(s.taught) for s in augmented if s.augmenter),
            adversarial_passes=sum(stage.adversarial_passes for stage in stages),
            assistants=trajectory.assistants if any(ref.kind == "assistant" for ref in refs) else 0,
        )


@dataclass
class Composed(Method):
    """A schedule with parts of other methods: ``prokd+mate``, ``annealing+kd``."""

    base: Method
    additions: tuple[Method, ...]
    _parts: tuple[Part, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Ask every addition for its part, so that impossible compositions fail at construction."""
        self.name = "+".join(method.name for method in self.parts())  # type: ignore[misc]
        self.kind = self.base.kind
        self.config = self.base.config
        self._parts = tuple(method.part() for method in self.additions)
        for chosen in ("objective", "augmenter"):
            if sum(getattr(part, chosen) is not None for part in self._parts) > 1:
                raise MethodError(f"method {self.name}: more than one part brings an {chosen}")

    def parts(self) -> list[Method]:
        """Base first, then the additions."""
        return [self.base, *self.additions]

    def check_kind(self, kind: str) -> None:
        """Every part must be defined for the task."""
        for method in self.parts():
            method.check_kind(kind)

    @property
    def needs_assistant(self) -> bool:
        """As the base says."""
        return self.base.needs_assistant

    def assistant_method(self) -> tuple[str, dict[str, Any]]:
        """As the base says."""
        return self.base.assistant_method()

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """The base's stages, with the parts put into every stage that distills."""
        stages = self.base.stages(budget, trajectory)
        if not any(stage.distills for stage in stages):
            raise MethodError(f"method {self.name}: '{self.base.name}' has no distilling stage to add to")
        if any(stage.augmenter for stage in stages) and any(part.augmenter for part in self._parts):
            raise MethodError(f"method {self.name}: '{self.base.name}' has an augmenter of its own")
        for part in self._parts:
            changes = {k: v for k, v in (("objective", part.objective), ("augmenter", part.augmenter)) if v}
            stages = [replace(stage, **changes) if stage.distills else stage for stage in stages]  # type: ignore[arg-type]
        return stages
