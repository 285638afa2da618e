"""The search TextAttack makes for each example: one independent and reproducible run, whatever is perturbed."""

from __future__ import annotations

import contextlib
import copy
import functools
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from kdbench.attacks import _library, assets
from kdbench.attacks._lockstep import Lockstep, State
from kdbench.attacks.memo import Memo
from kdbench.attacks.outcomes import Result, changed_words
from kdbench.attacks.spec import AttackSpec, Goal
from kdbench.errors import AttackError
from kdbench.hashing import derive_seed

# An attack's cost grows with the square of a text's length, and encoders read 512 tokens at most: what lies
# behind these limits is passed to the victim unchanged.
MAX_WORDS = 512
MAX_CHARACTERS = 4096
_SEPARATOR = "<SPLIT>"  # TextAttack cuts texts here
LANES = 256
"""Searches under way at once. What waits is texts and scores, so it is a matter of a few megabytes."""


class Example(Protocol):
    """What is attacked."""

    @property
    def id(self) -> str:
        """Seeds its run."""
        ...


ExampleT = TypeVar("ExampleT", bound=Example)
ExampleT_contra = TypeVar("ExampleT_contra", bound=Example, contravariant=True)


class Wrapper(Protocol[ExampleT_contra]):
    """A victim as TextAttack sees it: one for all searches, each of which has its own view.

    Attributes:
        goal: class of the goal functions whose results can be scored.
        view: what concerns the example under attack, and nothing else does.
        ask: has a model answer questions, together with those of other examples. Recipes may ask other models than
            the victim in this way.
        memo: what recipes may keep of work that does not depend on the victim.
        directories: asset folders.
    """

    goal: type
    view: Any
    ask: Callable[[Callable[[list[Any]], Any], Sequence[Any]], list[Any]]
    memo: Memo
    directories: tuple[Path, ...]

    def show(self, example: ExampleT_contra) -> tuple[str, int | str]:
        """Begin the next example: a new view. Returns the text to perturb, and what the goal is told as its truth."""
        ...

    def answer(self, questions: list[Any]) -> Sequence[Any]:
        """The victim's answers to distinct questions about any examples, in their order."""
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
    directories: Sequence[Path] = (),
    progress: Callable[[int], None] = silent,
    memo: Memo | None = None,
    lanes: int = LANES,
) -> list[Attempt]:
    """Attack every example; attempts come in the order of the examples.

    Each example is seeded by itself, so its attempt depends neither on the other examples nor on
    PYTHONHASHSEED, and Python's, NumPy's and torch's random states are left as they were found.

    Args:
        examples: what to attack.
        wrap: makes the victim's wrapper, once TextAttack can be imported.
        spec: the attack.
        query_budget, seed, directories, progress, memo, lanes: see :class:`kdbench.attacks.settings.SearchSettings`.

    Raises:
        AttackError: missing assets, a recipe that cannot be built, or a budget too small.
    """
    if query_budget < 2:
        raise AttackError(f"query budget {query_budget}: must be at least 2, for the original and one perturbed text")
    assets.prepare(spec, directories)
    attempts: dict[int, Attempt] = {}
    with _random_states_restored(), _library.session(), _located(f"while attack '{spec.name}' was running"):
        wrapper = wrap()
        wrapper.memo = memo or Memo()
        attack = _library.build(spec, wrapper, directories)
        attack.goal_function.query_budget = query_budget
        attack.goal_function.batch_size = query_budget  # batching is the victim's affair
        lockstep = Lockstep(_state_of(wrapper), lanes)
        wrapper.ask = lockstep.ask
        searches = (functools.partial(_search, attack, wrapper, example, spec, seed) for example in examples)
        try:
            for number, attempt in lockstep.run(searches):
                attempts[number] = attempt
                progress(len(attempts))
        finally:
            wrapper.memo.save()
    return [attempts[number] for number in range(len(examples))]


def _search(attack: Any, wrapper: Wrapper[ExampleT], example: ExampleT, spec: AttackSpec, seed: int) -> Attempt:
    _seed_all(derive_seed(seed, spec.name, example.id))
    with _located(f"at example '{example.id}'"):
        return _attempt(_fork(attack), wrapper, example, spec.goal)


def _fork(attack: Any) -> Any:
    """The same attack with its own goal, search and caches; transformation and constraints know no example."""
    from lru import LRU
    from textattack import Attack

    goal, search, forked = (copy.copy(part) for part in (attack.goal_function, attack.search_method, attack))
    goal._call_model_cache = LRU(attack.constraint_cache_size)
    constraints = [*attack.pre_transformation_constraints, *attack.constraints]
    Attack.__init__(forked, goal, constraints, attack.transformation, search)
    return forked


def _attempt(attack: Any, wrapper: Wrapper[ExampleT], example: ExampleT, goal: Goal) -> Attempt:
    from textattack.attack_results import SkippedAttackResult, SuccessfulAttackResult

    text, truth = wrapper.show(example)
    head = text[: attackable(text)]
    tail = wrapper.view.tail = text[len(head) :]
    result = attack.attack(head, truth)
    before = result.original_result.attacked_text
    after = result.perturbed_result.attacked_text
    queries, changed = int(attack.goal_function.num_queries), changed_words(before.words, after.words)
    # A reduction has no end that all texts could reach: whatever it deletes is a success.
    reached = changed > 0 if goal == "reduction" else isinstance(result, SuccessfulAttackResult)
    if isinstance(result, SkippedAttackResult):
        outcome: Result = "skipped"
    elif reached:
        outcome = "success"
    else:
        outcome = "exhausted" if queries >= attack.goal_function.query_budget else "failed"
    return Attempt(
        outcome=outcome,
        before=result.original_result.output,
        after=result.perturbed_result.output,
        queries=queries,
        words=before.num_words,
        perturbed_words=changed,
        original=text,
        perturbed=after.text + tail,
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
def _located(note: str) -> Iterator[None]:
    """What went wrong says where."""
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise


def _state_of(wrapper: Wrapper[Any]) -> State:
    """What a search takes with it when another one runs: the random states, and its view of the victim."""

    def save() -> tuple[Any, ...]:
        return (*_random_states(), wrapper.view)

    def restore(state: tuple[Any, ...]) -> None:
        _set_random_states(state[:3])
        wrapper.view = state[3]

    return State(save, restore)


@contextlib.contextmanager
def _random_states_restored() -> Iterator[None]:
    before = _random_states()
    try:
        yield
    finally:
        _set_random_states(before)


def _random_states() -> tuple[Any, ...]:
    import torch

    return random.getstate(), np.random.get_state(), torch.default_generator.get_state()


def _set_random_states(states: tuple[Any, ...]) -> None:
    import torch

    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.default_generator.set_state(states[2])


def _seed_all(seed: int) -> None:
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which wakes CUDA: no search draws there
