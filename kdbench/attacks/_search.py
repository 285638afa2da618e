"""The search TextAttack makes for each example: one independent and reproducible run, whatever is perturbed."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from kdbench.attacks import _library, assets
from kdbench.attacks.outcomes import Result, changed_words
from kdbench.attacks.spec import AttackSpec
from kdbench.errors import AttackError
from kdbench.hashing import derive_seed

# An attack's cost grows with the square of a text's length, and encoders read 512 tokens at most: what lies
# behind these limits is passed to the victim unchanged.
MAX_WORDS = 512
MAX_CHARACTERS = 4096
_SEPARATOR = "<SPLIT>"  # TextAttack cuts texts here


class Example(Protocol):
    """What is attacked."""

    @property
    def id(self) -> str:
        """Seeds its run."""
        ...


ExampleT = TypeVar("ExampleT", bound=Example)
ExampleT_contra = TypeVar("ExampleT_contra", bound=Example, contravariant=True)


class Wrapper(Protocol[ExampleT_contra]):
    """A victim as TextAttack sees it.

    Attributes:
        goal: class of the goal functions whose results can be scored.
        tail: follows every perturbed text that is asked about, because it lies beyond what may be perturbed.
    """

    goal: type
    tail: str

    def show(self, example: ExampleT_contra) -> tuple[str, int | str]:
        """Begin the next example; returns the text to perturb, and what the goal function is told as its truth."""
        ...


@dataclass(frozen=True)
class Attempt:
    """What a search ended with.

    Attributes:
        outcome: as in :class:`kdbench.attacks.outcomes.AttackOutcome`, like the four counts and texts below.
        before: what the goal function shows of the victim's output for the original.
        after: the same for the perturbed text; of a failed attack for its strongest attempt.
    """

    outcome: Result
    before: Any
    after: Any
    queries: int
    words: int
    perturbed_words: int
    original: str
    perturbed: str


def silent(done: int) -> None:
    """The default progress: none."""


def search_all(
    examples: Sequence[ExampleT],
    wrap: Callable[[], Wrapper[ExampleT]],
    spec: AttackSpec,
    *,
    query_budget: int,
    seed: int,
    directories: Sequence[Path],
    progress: Callable[[int], None],
) -> list[Attempt]:
    """Attack every example; attempts come in the order of the examples.

    Each example is seeded by itself, so its attempt depends neither on the other examples nor on
    PYTHONHASHSEED, and Python's, NumPy's and torch's random states are left as they were found.

    Args:
        examples: what to attack.
        wrap: makes the victim's wrapper, once TextAttack can be imported.
        spec: the attack.
        query_budget: most queries per example; at least 2.
        seed: root of the examples' seeds.
        directories: asset folders.
        progress: called with the number of finished examples after each one.

    Raises:
        AttackError: missing assets, a recipe that cannot be built, or a budget too small.
    """
    if query_budget < 2:
        raise AttackError(f"query budget {query_budget}: must be at least 2, for the original and one perturbed text")
    assets.prepare(spec, directories)
    attempts = []
    with _random_states_restored(), _library.session():
        wrapper = wrap()
        attack = _library.build(spec, wrapper, directories)
        attack.goal_function.query_budget = query_budget
        attack.goal_function.batch_size = query_budget  # batching is the victim's affair
        for example in examples:
            _seed_all(derive_seed(seed, spec.name, example.id))
            try:
                attempts.append(_search(attack, wrapper, example))
            except Exception as error:
                error.add_note(f"while attack '{spec.name}' was at example '{example.id}'")
                raise
            progress(len(attempts))
    return attempts


def _search(attack: Any, wrapper: Wrapper[ExampleT], example: ExampleT) -> Attempt:
    from textattack.attack_results import SkippedAttackResult, SuccessfulAttackResult

    text, truth = wrapper.show(example)
    head = text[: attackable(text)]
    wrapper.tail = text[len(head) :]
    # The cache knows perturbed parts only: it must not outlive the rest of the example. TextAttack clears it
    # after an attack, but not after a skipped example.
    attack.clear_cache()
    result = attack.attack(head, truth)
    before = result.original_result.attacked_text
    after = result.perturbed_result.attacked_text
    success = isinstance(result, SuccessfulAttackResult)
    skipped = isinstance(result, SkippedAttackResult)
    return Attempt(
        outcome="skipped" if skipped else "success" if success else "failed",
        before=result.original_result.output,
        after=result.perturbed_result.output,
        queries=int(attack.goal_function.num_queries),
        words=before.num_words,
        perturbed_words=changed_words(before.words, after.words),
        original=text,
        perturbed=after.text + wrapper.tail,
    )


def attackable(text: str) -> int:
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
