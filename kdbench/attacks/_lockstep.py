"""Many searches at once: each runs until it asks a model, then all their questions are answered together.

A model that is asked about twenty short texts at a time is held up by the overhead of each call, above all on a GPU.
Searches of different examples have nothing to do with each other, so they can wait for one another: every search is
a greenlet, and the hub collects their questions, makes them distinct, and lets each model answer in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import greenlet

QuestionT = TypeVar("QuestionT", bound=Hashable)
AnswerT = TypeVar("AnswerT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class State:
    """What belongs to one search although it lies outside of it, such as random states.

    Attributes:
        save: returns it as it is now.
        restore: makes it what it was when it was saved.
    """

    save: Callable[[], Any]
    restore: Callable[[Any], None]


@dataclass(frozen=True)
class _Lane:
    """A search that waits for answers, or for its turn to begin: then there are no questions and no state."""

    number: int
    search: greenlet.greenlet
    model: Any = None
    questions: Sequence[Any] = ()
    state: Any = None


class Lockstep:
    """Runs searches side by side and answers their questions together."""

    def __init__(self, state: State, lanes: int) -> None:
        """Nothing runs yet.

        Args:
            state: of the search that runs; put aside while another one does.
            lanes: how many searches are under way at once, at least 1.
        """
        self.state = state
        self.lanes = max(1, lanes)

    def ask(
        self, model: Callable[[list[QuestionT]], Sequence[AnswerT]], questions: Sequence[QuestionT]
    ) -> list[AnswerT]:
        """A model's answers to some questions. Only a search may call it; others run before it returns.

        Args:
            model: answers distinct questions in their order. What it answers must not depend on the others.
            questions: hashable, as the model is.
        """
        hub = greenlet.getcurrent().parent
        answers: list[AnswerT] = hub.switch((model, questions))
        return answers

    def run(self, searches: Iterable[Callable[[], ResultT]]) -> Iterator[tuple[int, ResultT]]:
        """Run all searches; yields the number and the result of each as it ends.

        What a search raises is raised here, and ends all of them.
        """
        todo = enumerate(searches)
        lanes: list[_Lane] = []
        while True:
            answers = _answers(lanes)
            begun = [_begin(number, search) for number, search in islice(todo, self.lanes - len(lanes))]
            moving, lanes = lanes + begun, []
            if not moving:
                return
            for lane in moving:
                if lane.state is not None:
                    self.state.restore(lane.state)
                outcome = lane.search.switch([answers[lane.model][question] for question in lane.questions])
                if lane.search.dead:
                    yield lane.number, outcome
                else:
                    model, questions = outcome
                    lanes.append(_Lane(lane.number, lane.search, model, questions, self.state.save()))


def _answers(lanes: list[_Lane]) -> dict[Any, dict[Any, Any]]:
    """Model -> question -> answer."""
    asked: dict[Any, dict[Any, None]] = {}
    for lane in lanes:
        asked.setdefault(lane.model, {}).update(dict.fromkeys(lane.questions))
    return {model: dict(zip(some, model(list(some)), strict=True)) for model, some in asked.items() if some}


def _begin(number: int, search: Callable[[], Any]) -> _Lane:
    return _Lane(number, greenlet.greenlet(lambda answers: search()))
