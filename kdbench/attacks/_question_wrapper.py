"""The reader of questions as TextAttack sees it, and what makes its answer wrong. Imports TextAttack.

Only for use inside ``_library.session``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textattack.goal_function_results import TextToTextGoalFunctionResult
from textattack.goal_functions import GoalFunction
from textattack.models.wrappers import ModelWrapper

from kdbench.answers.metrics import exact_match, token_f1
from kdbench.attacks.memo import Memo
from kdbench.errors import AttackError

if TYPE_CHECKING:
    from kdbench.attacks.questions import QuestionExample, QuestionVictim

Query = tuple[str, str]
"""A question and its context."""
Answers = Sequence[tuple[str, float]]
"""n-best answers, best first, with their probabilities."""


@dataclass(frozen=True)
class Answered:
    """What a victim answered to one question, measured against the references.

    Attributes:
        answer: its best answer.
        f1: token F1 of it.
        exact_match: whether it is one of the references, 0 or 1.
        expected_f1: mean token F1 of all answers it thinks of, weighted by their probabilities.
    """

    answer: str
    f1: float
    exact_match: float
    expected_f1: float


class WrongAnswer(GoalFunction):
    """The best answer's token F1 falls below ``f1_below`` of the wrapper.

    The best answer stays the same for most perturbations, so a search by its F1 would walk on a plain. The
    score is therefore one minus the *expected* F1, which moves with the probability of every answer. The search
    keeps the highest score and looks at the goal of that alone, so whatever reaches it is worth one more.
    """

    def _is_goal_complete(self, model_output: Answered, _: Any) -> bool:
        return bool(model_output.f1 < self.model.f1_below)

    def _get_score(self, model_output: Answered, _: Any) -> float:
        return 1 - model_output.expected_f1 + self._is_goal_complete(model_output, _)

    def _goal_function_result_type(self) -> type:
        kind: type = TextToTextGoalFunctionResult
        return kind

    def _process_model_outputs(self, inputs: Sequence[Any], outputs: list[Answered]) -> list[Answered]:
        return outputs


@dataclass
class View:
    """What concerns one question.

    Attributes:
        tail: follows every perturbed question, because it lies beyond what may be perturbed.
        f1: token F1 of the answers seen so far: a victim finds the same few spans again and again.
    """

    example: QuestionExample
    tail: str = ""
    f1: dict[str, float] = field(default_factory=dict)


class QuestionWrapper(ModelWrapper):
    """Asks the victim TextAttack's questions about the example's context, and measures its answers.

    Attributes:
        f1_below: the attack's goal.
    """

    goal = WrongAnswer
    view: View
    ask: Callable[[Callable[[list[Any]], Any], Sequence[Any]], list[Any]]
    memo: Memo
    directories: tuple[Path, ...]

    def __init__(self, victim: QuestionVictim, f1_below: float) -> None:
        self.model = victim  # TextAttack looks at its class only
        self.f1_below = f1_below

    @property
    def references(self) -> tuple[str, ...]:
        """Reference answers of the question under attack."""
        return self.view.example.answers

    def show(self, example: QuestionExample) -> tuple[str, int | str]:
        """Begin the next example; returns its question and its first reference answer."""
        self.view = View(example)
        return example.question, example.answers[0]

    def __call__(self, text_input_list: list[str], **kwargs: Any) -> list[Answered]:
        """What the victim answers to each question."""
        context, tail = self.view.example.context, self.view.tail
        asked = self.ask(self.answer, [(part + tail, context) for part in text_input_list])
        return [self._measure(answers) for answers in asked]

    def answer(self, questions: list[Query]) -> Sequence[Answers]:
        """The victim's answers to distinct questions about any contexts."""
        texts, contexts = zip(*questions, strict=True)
        answers = self.model.answers(texts, contexts)
        if len(answers) != len(questions):
            raise AttackError(f"the victim answered {len(answers)} of {len(questions)} questions")
        return answers

    def _measure(self, answers: Answers) -> Answered:
        total = math.fsum(probability for _, probability in answers)
        if not (0 < total < math.inf) or any(probability < 0 for _, probability in answers):
            raise AttackError(
                "the victim's answers to a question need probabilities: not negative, finite, and not all zero"
            )
        best = answers[0][0]
        return Answered(
            answer=best,
            f1=self._token_f1(best),
            exact_match=exact_match(best, self.references),
            expected_f1=math.fsum(self._token_f1(answer) * share for answer, share in answers) / total,
        )

    def _token_f1(self, answer: str) -> float:
        known = self.view.f1
        if answer not in known:
            known[answer] = token_f1(answer, self.references)
        return known[answer]
