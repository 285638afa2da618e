"""Searches that run side by side."""

from __future__ import annotations

import random

import pytest

from kdbench.attacks._lockstep import Lockstep, State


def echo(questions):
    return questions


RANDOM = State(random.getstate, random.setstate)


def collatz(lockstep, model, start):
    """A search whose next question depends on the last answer; returns what it asked."""
    asked = [start]
    while asked[-1] != 1:
        (answer,) = lockstep.ask(model, [asked[-1]])
        asked.append(answer)
    return asked


def follow(starts, lanes):
    """Results in the order of the searches, and the questions of every call."""
    calls = []

    def answer(questions):
        calls.append(questions)
        return [n // 2 if n % 2 == 0 else 3 * n + 1 for n in questions]

    lockstep = Lockstep(RANDOM, lanes)
    found = dict(lockstep.run(lambda start=start: collatz(lockstep, answer, start) for start in starts))
    return [found[number] for number in range(len(starts))], calls


@pytest.mark.parametrize("lanes", [1, 2, 3, 100])
def test_results_do_not_depend_on_how_many_run_at_once(lanes):
    starts = [6, 1, 7, 27, 7, 2, 9]
    found, _ = follow(starts, lanes)
    alone = [follow([start], 1)[0][0] for start in starts]
    assert found == alone
    assert found[0] == [6, 3, 10, 5, 16, 8, 4, 2, 1]


def test_questions_are_answered_together_and_once():
    _, calls = follow([8, 8, 4, 16], lanes=4)
    assert calls == [[8, 4, 16], [4, 2, 8], [2, 4], [2]]


def test_no_more_searches_are_under_way_than_lanes():
    _, calls = follow(list(range(2, 40)), lanes=3)
    assert max(map(len, calls)) == 3
    _, one = follow([8, 4], lanes=1)
    assert one == [[8], [4], [2], [4], [2]]


def test_a_search_that_asks_nothing_ends_at_once():
    lockstep = Lockstep(RANDOM, 2)
    assert sorted(lockstep.run([lambda: "a", lambda: "b", lambda: "c"])) == [(0, "a"), (1, "b"), (2, "c")]
    assert list(lockstep.run([])) == []


def test_searches_begin_one_by_one_from_an_iterator():
    """Thousands of examples need not be prepared before the first is attacked."""
    begun = []

    def searches():
        for number in range(5):
            begun.append(number)
            yield lambda number=number: lockstep.ask(echo, [number])

    lockstep = Lockstep(RANDOM, 2)
    results = lockstep.run(searches())
    next(results)
    assert begun == [0, 1]
    assert len(list(results)) == 4


@pytest.mark.parametrize("lanes", [1, 4])
def test_each_search_keeps_its_random_state(lanes):
    lockstep = Lockstep(RANDOM, lanes)

    def search(seed):
        random.seed(seed)
        drawn = []
        for _ in range(3):
            drawn.append(random.random())
            lockstep.ask(echo, [seed])
        return drawn

    found = dict(lockstep.run(lambda seed=seed: search(seed) for seed in range(4)))
    for seed in range(4):
        expected = random.Random(seed)
        assert found[seed] == [expected.random() for _ in range(3)]


def test_an_error_ends_the_others_too():
    ended = []

    def search(number):
        try:
            lockstep.ask(echo, [number])
            if number == 1:
                raise ValueError("search 1")
            lockstep.ask(echo, [number])
        finally:
            ended.append(number)

    lockstep = Lockstep(RANDOM, 3)
    with pytest.raises(ValueError, match="search 1"):
        list(lockstep.run(lambda number=number: search(number) for number in range(3)))
    assert sorted(ended) == [0, 1, 2]


def test_too_few_answers_are_an_error():
    lockstep = Lockstep(RANDOM, 3)
    with pytest.raises(ValueError, match="shorter"):
        list(lockstep.run([lambda: lockstep.ask(lambda questions: questions[:-1], ["a", "b"])]))


def test_every_model_answers_its_own_questions():
    """Two searches ask different models the same at the same time; one asks both in turn."""
    calls = []

    def double(numbers):
        calls.append(("double", numbers))
        return [2 * number for number in numbers]

    def negative(numbers):
        calls.append(("negative", numbers))
        return [-number for number in numbers]

    lockstep = Lockstep(RANDOM, 3)
    searches = [
        lambda: lockstep.ask(double, [1, 2]),
        lambda: lockstep.ask(negative, [1]),
        lambda: lockstep.ask(negative, lockstep.ask(double, [2, 3])),
    ]
    assert dict(lockstep.run(searches)) == {0: [2, 4], 1: [-1], 2: [-4, -6]}
    assert calls == [("double", [1, 2, 3]), ("negative", [1]), ("negative", [4, 6])]


def test_asking_nothing_is_answered_by_nothing():
    lockstep = Lockstep(RANDOM, 2)
    assert list(lockstep.run([lambda: lockstep.ask(echo, [])])) == [(0, [])]
