"""Attacks on readers that answer questions about a context: the question changes, the context never does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Unpack

from kdbench.attacks._search import search_all
from kdbench.attacks.outcomes import QuestionOutcome, summarize_questions
from kdbench.attacks.settings import SearchSettings
from kdbench.attacks.spec import AttackSpec
from kdbench.errors import AttackError

if TYPE_CHECKING:
    from kdbench.attacks._question_wrapper import QuestionWrapper

__all__ = ["QuestionExample", "QuestionOutcome", "QuestionVictim", "attack_questions", "summarize_questions"]


@dataclass(frozen=True)
class QuestionExample:
    """One sampled question with its reference answers, of which there is at least one."""

    id: str
    question: str
    context: str
    answers: tuple[str, ...]


class QuestionVictim(Protocol):
    """A reader under attack; it chooses its own device, precision, batch size and windows."""

    def answers(self, questions: Sequence[str], contexts: Sequence[str]) -> list[list[tuple[str, float]]]:
        """The n best answers to each question, best first, in fp32 and evaluation mode.

        Args:
            questions: one to many thousands, any of them possibly odd; batching them is the victim's affair.
            contexts: for each question where its answers are looked for; few of them are different.

        Returns:
            For each question at least one answer, empty for "no answer here", with its probability. They are
            used relative to their sum, which may be below 1.
        """
        ...


def attack_questions(
    victim: QuestionVictim,
    examples: Sequence[QuestionExample],
    spec: AttackSpec,
    **settings: Unpack[SearchSettings],
) -> list[QuestionOutcome]:
    """Attack every question; outcomes come in the order of the examples.

    Reproducible as :func:`kdbench.attacks.text.attack_texts` is: each example is seeded by itself. Only one
    attack can run in a process at a time.

    Args:
        victim: the reader.
        examples: what to attack. One whose answer is below ``spec.f1_below`` already is skipped.
        spec: the attack, of kind ``question``.
        settings: query budget, seed and the like.

    Raises:
        AttackError: missing assets, an attack on something else, a question without an answer, or a victim
            whose answers are none.
    """
    if spec.f1_below is None:
        raise AttackError(f"attack '{spec.name}' is of kind {spec.kind}; questions need one of kind question")
    for example in examples:
        if not example.answers:
            raise AttackError(f"example '{example.id}' has no answer; only answerable questions can be attacked")
    f1_below = spec.f1_below

    def wrap() -> QuestionWrapper:
        from kdbench.attacks._question_wrapper import QuestionWrapper

        return QuestionWrapper(victim, f1_below)

    attempts = search_all(examples, wrap, spec, **settings)
    return [
        QuestionOutcome(
            id=example.id,
            outcome=attempt.outcome,
            clean_f1=attempt.before.f1,
            clean_exact_match=attempt.before.exact_match,
            f1=min(attempt.before.f1, attempt.after.f1),
            exact_match=min(attempt.before.exact_match, attempt.after.exact_match),
            predicted=attempt.before.answer,
            adversarial=attempt.after.answer,
            queries=attempt.queries,
            words=attempt.words,
            perturbed_words=attempt.perturbed_words,
            original=attempt.original,
            perturbed=attempt.perturbed,
        )
        for example, attempt in zip(examples, attempts, strict=True)
    ]
