"""The method contract: a method turns a budget and a teacher's trajectory into stages.

Nothing here imports torch: planning, listing and describing methods needs none.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from pydantic import ValidationError, create_model

from kdbench.budget import Updates
from kdbench.errors import MethodError
from kdbench.methods.contract import Augmenter, Objective
from kdbench.methods.kinds import KINDS, modality
from kdbench.methods.stages import Stage, Trajectory
from kdbench.schema import Spec, explain


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
    reasons: ClassVar[Mapping[str, str]] = {}  # why not, for kinds that a user might expect

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
            MethodError: naming what it supports, and why not this, where the method tells.
        """
        if kind not in self.kinds:
            reason = f" ({self.reasons[kind]})" if kind in self.reasons else ""
            raise MethodError(f"method {self.name} is not defined for {kind}{reason}, only for {', '.join(self.kinds)}")

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
