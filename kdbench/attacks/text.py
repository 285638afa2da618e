"""Attacks on text classifiers: TextAttack's recipes, one independent and reproducible run per example."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from kdbench.attacks import assets
from kdbench.attacks.outcomes import AttackOutcome, changed_words, summarize
from kdbench.attacks.spec import AttackSpec
from kdbench.errors import AttackError
from kdbench.hashing import derive_seed

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

# An attack's cost grows with the square of a text's length, and encoders read 512 tokens at most: what lies
# behind these limits is passed to the victim unchanged.
MAX_WORDS = 512
MAX_CHARACTERS = 4096
_SEPARATOR = "<SPLIT>"  # TextAttack cuts texts here


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
            texts: one to several hundred, any of them possibly empty; batching them is the victim's affair.
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


def _silent(done: int) -> None:
    """The default progress: none."""


def attack_texts(
    victim: TextVictim,
    examples: Sequence[TextExample],
    spec: AttackSpec,
    *,
    perturb: Column,
    query_budget: int,
    seed: int,
    directories: Sequence[Path] = (),
    progress: Callable[[int], None] = _silent,
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
        query_budget: most queries per example, counted as in :class:`AttackOutcome`; at least 2.
        seed: root of the examples' seeds.
        directories: asset folders, see :func:`kdbench.attacks.assets.missing_assets`.
        progress: called with the number of finished examples after each one.

    Raises:
        AttackError: missing assets, a victim that does not fit, or examples without the chosen column.
    """
    _check(victim, examples, spec, perturb, query_budget)
    assets.prepare(spec, directories)
    outcomes = []
    with _random_states_restored():
        from kdbench.attacks import _library

        with _library.session():
            from kdbench.attacks._wrapper import VictimWrapper

            wrapper = VictimWrapper(victim, MAX_WORDS)
            attack = _library.build(spec, wrapper, directories)
            attack.goal_function.query_budget = query_budget
            attack.goal_function.batch_size = query_budget  # batching is the victim's affair
            for example in examples:
                _seed_all(derive_seed(seed, spec.name, example.id))
                try:
                    outcomes.append(_attack_one(attack, wrapper, example, perturb))
                except Exception as error:
                    error.add_note(f"while attack '{spec.name}' was at example '{example.id}'")
                    raise
                progress(len(outcomes))
    return outcomes


def _check(
    victim: TextVictim, examples: Sequence[TextExample], spec: AttackSpec, perturb: Column, query_budget: int
) -> None:
    if victim.num_labels < 2:
        raise AttackError(f"attack '{spec.name}' needs a classifier with at least 2 classes, not a regression model")
    if query_budget < 2:
        raise AttackError(f"query budget {query_budget}: must be at least 2, for the original and one perturbed text")
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


def _attack_one(attack: Any, wrapper: VictimWrapper, example: TextExample, perturb: Column) -> AttackOutcome:
    from textattack.attack_results import SkippedAttackResult, SuccessfulAttackResult

    column = (example.text_pair or "") if perturb == "text_pair" else example.text
    head = column[: _attackable(column)]
    tail = column[len(head) :]

    def columns(parts: list[str]) -> tuple[list[str], list[str] | None]:
        whole = [part + tail for part in parts]
        if perturb == "text_pair":
            return [example.text] * len(whole), whole
        return whole, None if example.text_pair is None else [example.text_pair] * len(whole)

    wrapper.show(columns, perturb)
    # The cache knows perturbed parts only: it must not outlive the other column. TextAttack clears it after
    # an attack, but not after a skipped example.
    attack.clear_cache()
    result = attack.attack(head, int(example.label))
    before = result.original_result.attacked_text
    after = result.perturbed_result.attacked_text
    success = isinstance(result, SuccessfulAttackResult)
    skipped = isinstance(result, SkippedAttackResult)
    return AttackOutcome(
        id=example.id,
        label=example.label,
        predicted=int(result.original_result.output),
        outcome="skipped" if skipped else "success" if success else "failed",
        adversarial=int(result.perturbed_result.output),
        queries=int(attack.goal_function.num_queries),
        words=before.num_words,
        perturbed_words=changed_words(before.words, after.words),
        original=column,
        perturbed=after.text + tail,
    )


def _attackable(text: str) -> int:
    """The length of the part an attack may see: whole words, up to the limits and before a separator."""
    limit = len(text)
    separator = text.find(_SEPARATOR)
    if separator >= 0:
        limit = separator
    ends = [match.end() for match, _ in zip(re.finditer(r"\S+", text), range(MAX_WORDS), strict=False)]
    if ends and len(ends) == MAX_WORDS:
        limit = min(limit, ends[-1])
    if limit > MAX_CHARACTERS:
        inside = [end for end in ends if end <= MAX_CHARACTERS]
        limit = inside[-1] if inside else MAX_CHARACTERS
    return limit


@contextlib.contextmanager
def _random_states_restored() -> Iterator[None]:
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def _seed_all(seed: int) -> None:
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    # Not torch.manual_seed: that would also queue a seed for a CUDA context nobody has opened yet.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
