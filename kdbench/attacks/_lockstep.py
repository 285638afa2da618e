"""Many searches at once: each runs until it asks the victim, then all their questions are answered together.

A victim that is asked about twenty short texts at a time is held up by the overhead of each call, above all on a GPU.
Searches of different examples have nothing to do with each other, so they can wait for one another: every search is
a greenlet, and the hub collects their questions, makes them distinct, and answers them in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import greenlet

AskT = TypeVar("AskT", bound=Hashable)
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
class _Lane(Generic[AskT]):
    """A search that waits for answers, or for its turn to begin: then there are no questions and no state."""

    number: int
    search: greenlet.greenlet
    questions: Sequence[AskT]
    state: Any


class Lockstep(Generic[AskT, AnswerT]):
    """Runs searches side by side and answers their questions together."""

    def __init__(self, answer: Callable[[list[AskT]], Sequence[AnswerT]], state: State, lanes: int) -> None:
        """Nothing runs yet.

        Args:
            answer: answers distinct questions, in their order.
            state: of the search that runs; put aside while another one does.
            lanes: how many searches are under way at once, at least 1.
        """
        self.answer = answer
        self.state = state
        self.lanes = lanes

    def ask(self, questions: Sequence[AskT]) -> list[AnswerT]:
        """Answers to some questions. Only a search may call it; others run before it returns."""
        hub = greenlet.getcurrent().parent
        answers: list[AnswerT] = hub.switch(questions)
        return answers

    def run(self, searches: Iterable[Callable[[], ResultT]]) -> Iterator[tuple[int, ResultT]]:
        """Run all searches; yields the number and the result of each as it ends.

        What a search raises is raised here, and ends all of them.
        """
        todo = enumerate(searches)
        lanes: list[_Lane[AskT]] = []
        while True:
            answers = self._answers(lanes)
            begun = [_begin(number, search) for number, search in islice(todo, self.lanes - len(lanes))]
            moving, lanes = lanes + begun, []
            if not moving:
                return
            for lane in moving:
                if lane.state is not None:
                    self.state.restore(lane.state)
                outcome = lane.search.switch([answers[question] for question in lane.questions])
                if lane.search.dead:
                    yield lane.number, outcome
                else:
                    lanes.append(_Lane(lane.number, lane.search, outcome, self.state.save()))

    def _answers(self, lanes: list[_Lane[AskT]]) -> dict[AskT, AnswerT]:
        distinct = list(dict.fromkeys(question for lane in lanes for question in lane.questions))
        return dict(zip(distinct, self.answer(distinct), strict=True)) if distinct else {}


def _begin(number: int, search: Callable[[], Any]) -> _Lane[Any]:
    return _Lane(number, greenlet.greenlet(lambda answers: search()), (), None)
