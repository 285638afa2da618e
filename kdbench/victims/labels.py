"""Which output of a model stands for which class of a task."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from kdbench.errors import ModelError
from kdbench.schema import Spec, load_yaml


class Synonyms(Spec):
    """Names of classes that mean the same."""

    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ClassOrder:
    """A task's classes as a model numbers them.

    Attributes:
        outputs: ``(classes,)`` int64, for each class of the task the model's output that stands for it.
        warning: why the order may be wrong, or nothing.
    """

    outputs: np.ndarray
    warning: str = ""

    @property
    def classes(self) -> np.ndarray:
        """``(classes,)`` int64, the inverse: for each output of the model the task's class."""
        return np.argsort(self.outputs)


def match_classes(names: Sequence[str], labels: Sequence[str], *, source: str, sure: bool = False) -> ClassOrder:
    """Match the names a model gives its outputs to the classes of a task.

    Names match when they are equal, or known to mean the same, but for case, spaces, hyphens and underscores. Names
    that transformers made up (``LABEL_0``, ``LABEL_1``, …) are taken in the task's order, with a warning.

    Args:
        names: of the model's outputs, in their order.
        labels: of the task's classes, in theirs.
        source: where the names are from, for messages.
        sure: whether made-up names are an error, too.

    Raises:
        ModelError: another number of classes, or names that do not match.
    """
    ours = ", ".join(labels)
    if len(names) != len(labels):
        raise ModelError(f"{source}: {len(names)} classes, but the task has {len(labels)} ({ours})")
    if not sure and all(_simple(name) == f"label {index}" for index, name in enumerate(names)):
        warning = (
            f"{source}: the classes have no names (LABEL_0, …) and are taken in the task's order ({ours}); "
            f"--labels says another"
        )
        return ClassOrder(np.arange(len(labels)), warning)
    known = [_meaning(label) for label in labels]
    found = [known.index(meaning) if (meaning := _meaning(name)) in known else -1 for name in names]
    if sorted(found) != list(range(len(labels))):
        raise ModelError(
            f"{source}: classes {', '.join(names)} cannot be matched to those of the task ({ours}): say which of "
            f"them each output of the model stands for, in the model's order, e.g. --labels {','.join(labels)}"
        )
    return ClassOrder(np.argsort(found))


def _meaning(name: str) -> str:
    """The first word of the name's group, or the name itself."""
    simple = _simple(name)
    return _first_words().get(simple, simple)


def _simple(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


@cache
def _first_words() -> dict[str, str]:
    synonyms = load_yaml(Path(__file__).with_name("synonyms.yaml"), Synonyms)
    return {_simple(word): _simple(group[0]) for group in synonyms.groups for word in group}
