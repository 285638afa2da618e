"""Attacks on text classifiers: TextAttack's recipes, one independent and reproducible run per example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, Unpack

import numpy as np

from kdbench.attacks._search import MAX_WORDS, search_all
from kdbench.attacks.outcomes import AttackOutcome, summarize
from kdbench.attacks.settings import SearchSettings
from kdbench.attacks.spec import AttackSpec
from kdbench.errors import AttackError

if TYPE_CHECKING:
    from kdbench.attacks._wrapper import VictimWrapper

__all__ = [
    "AttackOutcome",
    "Column",
    "GradientVictim",
    "TextExample",
    "TextVictim",
    "attack_texts",
    "summarize",
]

Column = Literal["text", "text_pair"]


@dataclass(frozen=True)
class TextExample:
    """One sampled example; ``text_pair`` is None for single texts."""

    id: str
    text: str
    text_pair: str | None
    label: int


class TextVictim(Protocol):
    """A classifier under attack; it chooses its own device, precision, batch size and padding."""

    num_labels: int

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        """Logits (texts, classes), float32, in evaluation mode.

        Args:
            texts: one to many thousands, any of them possibly empty; batching them is the victim's affair.
            pairs: the second column, or None for single texts.
        """
        ...


class GradientVictim(TextVictim, Protocol):
    """A victim that gradient-ranked recipes (``gradients`` in their needs) can attack too."""

    def gradient(self, text: str, pair: str | None, column: Column) -> tuple[list[str], np.ndarray]:
        """Tokens of ``column``, and for each the loss gradient of its embedding (tokens, dimension).

        The loss is the cross-entropy of the victim's own prediction, as in TextAttack.
        """
        ...

    def vectors(self, words: Sequence[str]) -> np.ndarray:
        """The victim's embedding of each word (words, dimension), in the space of :meth:`gradient`."""
        ...


def attack_texts(
    victim: TextVictim,
    examples: Sequence[TextExample],
    spec: AttackSpec,
    *,
    perturb: Column,
    **settings: Unpack[SearchSettings],
) -> list[AttackOutcome]:
    """Attack every example; outcomes come in the order of the examples.

    Each example is seeded by itself, so its outcome depends neither on the other examples nor on
    PYTHONHASHSEED, and Python's, NumPy's and torch's random states are left as they were found. Only one
    attack can run in a process at a time; processes do not disturb each other.

    Args:
        victim: the classifier.
        examples: what to attack. One whose gold label the victim already misses is skipped.
        spec: the attack.
        perturb: the only column that changes; the other is passed along as it is.
        settings: query budget, seed and the like.

    Raises:
        AttackError: missing assets, a victim that does not fit, or examples without the chosen column.
    """
    _check(victim, examples, spec, perturb)

    def wrap() -> VictimWrapper:
        from kdbench.attacks._wrapper import VictimWrapper

        return VictimWrapper(victim, perturb, MAX_WORDS)

    attempts = search_all(examples, wrap, spec, **settings)
    return [
        AttackOutcome(
            id=example.id,
            label=example.label,
            predicted=attempt.before,
            outcome=attempt.outcome,
            adversarial=attempt.after,
            queries=attempt.queries,
            words=attempt.words,
            perturbed_words=attempt.perturbed_words,
            original=attempt.original,
            perturbed=attempt.perturbed,
        )
        for example, attempt in zip(examples, attempts, strict=True)
    ]


def _check(victim: TextVictim, examples: Sequence[TextExample], spec: AttackSpec, perturb: Column) -> None:
    if spec.kind != "text":
        raise AttackError(f"attack '{spec.name}' is of kind {spec.kind}; texts need one of kind text")
    if victim.num_labels < 2:
        raise AttackError(f"attack '{spec.name}' needs a classifier with at least 2 classes, not a regression model")
    if "gradients" in spec.needs and not hasattr(victim, "gradient"):
        raise AttackError(
            f"attack '{spec.name}' ranks words by the victim's gradients, which this victim does not offer; "
            "give it a method gradient (kdbench.attacks.text.GradientVictim) or choose a black-box attack"
        )
    for example in examples:
        if perturb == "text_pair" and example.text_pair is None:
            raise AttackError(f"example '{example.id}' has no second text to perturb; perturb 'text' instead")
        if not 0 <= example.label < victim.num_labels:
            raise AttackError(
                f"example '{example.id}': label {example.label} is not among the victim's {victim.num_labels}"
            )
