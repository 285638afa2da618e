"""What an attack is made of, as it is built here; without asking any victim."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdbench.attacks import _library, assets
from kdbench.attacks._search import MAX_WORDS
from kdbench.attacks.memo import Memo
from kdbench.attacks.spec import AttackSpec, Parts

_PLAIN = (bool, int, float, str, type(None))


def built_parts(spec: AttackSpec, directories: Sequence[Path]) -> Parts:
    """The parts of a text or question attack, each as ``Name(setting=value, …)``.

    Raises:
        AttackError: an asset is missing, or the recipe cannot be built.
    """
    assets.prepare(spec, directories)
    with _library.session():
        wrapper = _wrapper(spec)
        wrapper.memo = Memo()
        attack = _library.build(spec, wrapper, directories)
        steps = getattr(attack.transformation, "transformations", [attack.transformation])
        return Parts(
            transformation=tuple(map(_shown, steps)),
            constraints=tuple(map(_shown, [*attack.pre_transformation_constraints, *attack.constraints])),
            search=_shown(attack.search_method),
        )


class _NoVictim:
    """Stands where a victim will be; nothing of it is called while an attack is built."""

    num_labels = 2

    def gradient(self) -> None:
        """There is none."""

    def vectors(self) -> None:
        """There are none."""


def _wrapper(spec: AttackSpec) -> Any:
    victim: Any = _NoVictim()
    if spec.kind == "question":
        from kdbench.attacks._question_wrapper import QuestionWrapper

        return QuestionWrapper(victim, spec.f1_below or 1.0)
    from kdbench.attacks._wrapper import VictimWrapper

    return VictimWrapper(victim, "text", MAX_WORDS)


def _shown(part: Any) -> str:
    settings = {name: getattr(part, name, None) for name in part.extra_repr_keys()}
    plain = [f"{name}={value}" for name, value in settings.items() if isinstance(value, _PLAIN) and value is not None]
    return f"{type(part).__name__}({', '.join(plain)})"
