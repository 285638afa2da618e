"""What an attack did to each example, and the metrics made of it. Plain data and pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Result = Literal["skipped", "failed", "exhausted", "success"]
HELD = ("failed", "exhausted")
"""The outcomes of examples that are right even after the attack."""


@dataclass(frozen=True)
class AttackOutcome:
    """What an attack did to one example.

    Attributes:
        id: the example's id.
        label: its gold label.
        predicted: the victim's class for the original.
        outcome: ``skipped`` (wrong before the attack), ``failed`` (still right when the search was over),
            ``exhausted`` (still right when the queries were spent) or ``success``. Where the goal is ``reduction``,
            ``success`` means that words could be deleted without changing the prediction.
        adversarial: the victim's class for the perturbed example.
        queries: model queries as TextAttack counts them, the one for the original included and repeated texts
            counted again; the victim itself is asked at most this often.
        words: words in the part of the column that may be perturbed.
        perturbed_words: how many of them differ; after insertions or deletions, the word edit distance.
        original: the chosen column before.
        perturbed: the chosen column after; of a failed attack its strongest attempt.
    """

    id: str
    label: int
    predicted: int
    outcome: Result
    adversarial: int
    queries: int
    words: int
    perturbed_words: int
    original: str
    perturbed: str


@dataclass(frozen=True)
class QuestionOutcome:
    """What an attack did to one question.

    Attributes:
        id: the question's id.
        outcome: as in :class:`AttackOutcome`, a question being wrong where its token F1 is below the attack's goal.
        clean_f1: token F1 of the victim's best answer to the original, in [0, 1].
        clean_exact_match: whether that answer is one of the references, 0 or 1.
        f1: after the attack; of a failed attack the smaller of ``clean_f1`` and that of its strongest
            attempt, which the goal function chose by all the answers the victim thinks of.
        exact_match: after the attack, in the same way.
        predicted: the victim's best answer to the original, empty for none.
        adversarial: its best answer to the perturbed question.
        queries: as in :class:`AttackOutcome`, like the fields below.
        words: words in the part of the question that may be perturbed.
        perturbed_words: how many of them differ.
        original: the question before.
        perturbed: the question after; of a failed attack its strongest attempt.
    """

    id: str
    outcome: Result
    clean_f1: float
    clean_exact_match: float
    f1: float
    exact_match: float
    predicted: str
    adversarial: str
    queries: int
    words: int
    perturbed_words: int
    original: str
    perturbed: str


def summarize_reduction(outcomes: Sequence[AttackOutcome]) -> dict[str, float]:
    """The metrics of an attack whose goal is ``reduction``: the same prediction from as few words as may be.

    Returns:
        ``clean_accuracy``, share of all examples; ``remaining_words``, mean share of the words that are left, over
        the attacked (0 when there were none), in [0, 1]; ``mean_queries``; ``examples``, their number.
    """
    attacked = [outcome for outcome in outcomes if outcome.outcome != "skipped"]
    count = max(1, len(attacked))
    return {
        "clean_accuracy": len(attacked) / max(1, len(outcomes)),
        "remaining_words": sum(1 - outcome.perturbed_words / max(1, outcome.words) for outcome in attacked) / count,
        "mean_queries": sum(outcome.queries for outcome in attacked) / count,
        "examples": float(len(outcomes)),
    }


def summarize(outcomes: Sequence[AttackOutcome | QuestionOutcome]) -> dict[str, float]:
    """The metrics of an attack over all sampled examples.

    Returns:
        ``accuracy_under_attack`` (right even after the attack, skipped examples counting as wrong) and
        ``clean_accuracy``, shares of all examples; ``success_rate``, share of the attacked ones (0 when there
        were none); ``mean_queries`` over the attacked; ``mean_perturbed_words``, mean share of changed words
        over the successes (0 without any), in [0, 1]; ``examples``, their number. All 0 for no examples.
    """
    attacked = [outcome for outcome in outcomes if outcome.outcome != "skipped"]
    successes = [outcome for outcome in attacked if outcome.outcome == "success"]
    return {
        "accuracy_under_attack": (len(attacked) - len(successes)) / max(1, len(outcomes)),
        "clean_accuracy": len(attacked) / max(1, len(outcomes)),
        "success_rate": len(successes) / max(1, len(attacked)),
        "mean_queries": sum(outcome.queries for outcome in attacked) / max(1, len(attacked)),
        "mean_perturbed_words": sum(min(1.0, o.perturbed_words / max(1, o.words)) for o in successes)
        / max(1, len(successes)),
        "examples": float(len(outcomes)),
    }


def summarize_questions(outcomes: Sequence[QuestionOutcome]) -> dict[str, float]:
    """The metrics of an attack over all sampled questions.

    Returns:
        ``f1_under_attack``, ``exact_match_under_attack``, ``clean_f1`` and ``clean_exact_match``, means over
        all questions, skipped ones as they were; and what :func:`summarize` returns, a question being right
        where its token F1 is not below the attack's goal. All 0 for no questions.
    """
    means = {
        "f1_under_attack": [outcome.f1 for outcome in outcomes],
        "exact_match_under_attack": [outcome.exact_match for outcome in outcomes],
        "clean_f1": [outcome.clean_f1 for outcome in outcomes],
        "clean_exact_match": [outcome.clean_exact_match for outcome in outcomes],
    }
    return {name: sum(values) / max(1, len(values)) for name, values in means.items()} | summarize(outcomes)


def changed_words(before: Sequence[str], after: Sequence[str]) -> int:
    """How many words differ: by position, as TextAttack counts; if the lengths differ, the edit distance."""
    if len(before) == len(after):
        return sum(left != right for left, right in zip(before, after, strict=True))
    row = list(range(len(after) + 1))
    for i, left in enumerate(before, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(after, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]
