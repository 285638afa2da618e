"""Decoding against loops on random logits, and its rules by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdbench.answers import spans
from kdbench.answers.decoding import Candidates, best_texts, decode, nbest_texts
from kdbench.tasks.spec import SpanFormat
from tests.answers.brute_force import Window, pack, rank

LOW = -1e4
TEXT = "Lüttich is in Belgium"  # tokens: Lüttich | is | in | Belgium
TOKENS = [(0, 7), (8, 10), (11, 13), (14, 21)]


def logits_of(*windows: tuple[float, list[float], list[float]]) -> np.ndarray:
    """Rows of [CLS], context and [SEP] for each (start logit of [CLS], starts, ends)."""
    columns = [([null, *start, LOW], [0.0, *end, LOW]) for null, start, end in windows]
    return np.concatenate([np.array(pair, dtype=np.float32).T for pair in columns])


def rows(found: Candidates, question: int = 0) -> list[tuple[int, int]]:
    """The characters of a question's candidates."""
    own = slice(found.first[question], found.first[question + 1])
    return list(zip(found.start[own].tolist(), found.end[own].tolist(), strict=True))


def random_layout(rng: np.random.Generator) -> tuple[list[Window], int]:
    """Questions with contexts in overlapping windows; some empty, some with tokens that share or lack characters."""
    layout, questions = [], int(rng.integers(1, 5))
    odd = bool(rng.integers(2))
    for question in range(questions):
        tokens: list[tuple[int, int]] = []
        at = 0
        for _ in range(rng.integers(0, 12)):
            size = int(rng.choice([0, 1, 2, 3])) if odd else int(rng.integers(1, 4))
            tokens += [(at, at + size)] * int(rng.choice([1, 1, 2, 3]) if odd else 1)
            at += size + int(rng.integers(0, 2))
        length = int(rng.integers(1, 9))
        step = int(rng.integers(1, length + 1))
        for begin in range(0, max(len(tokens) - length, 0) + step, step):
            layout.append(Window(question, tokens[begin : begin + length], *map(int, rng.integers(1, 4, size=2))))
    return layout, questions


@settings(max_examples=400, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    tied=st.booleans(),
    unanswerable=st.booleans(),
    threshold=st.sampled_from([-2.0, 0.0, 1.0, 2.0]),
    max_answer=st.sampled_from([1, 2, 4, 30]),
    n_best=st.sampled_from([1, 2, 5, 1000]),
)
def test_same_as_loops(
    seed: int, tied: bool, unanswerable: bool, threshold: float, max_answer: int, n_best: int
) -> None:
    """Order, characters, scores, probabilities and the null's margin; small integers as logits tie often."""
    rng = np.random.default_rng(seed)
    layout, questions = random_layout(rng)
    windows = pack(layout)
    logits = rng.normal(scale=4, size=(windows.starts[-1], 2)).astype(np.float32)
    if tied:
        logits = np.round(logits / 4)
    threshold = threshold if unanswerable else 0.0
    form = SpanFormat(unanswerable=unanswerable, null_threshold=threshold, max_answer=max_answer, n_best=n_best)
    found = decode(logits, windows, questions, form)
    for question, expected in enumerate(rank(logits, layout, questions, form)):
        own = slice(found.first[question], found.first[question + 1])
        start, end, score, probability = zip(*expected.rows, strict=True)
        assert rows(found, question) == list(zip(start, end, strict=True))
        assert found.score[own].tolist() == list(score)
        assert found.probability[own] == pytest.approx(probability, rel=1e-5)
        assert found.null_difference[question] == pytest.approx(expected.null_difference, nan_ok=True)
    assert found.first[-1] == len(found.start)


@pytest.mark.parametrize("unanswerable", [False, True])
def test_probabilities_add_up_to_one(unanswerable: bool) -> None:
    """Over all answers, as far as float32 scores go; without the null where it is no candidate."""
    rng = np.random.default_rng(3)
    layout, questions = random_layout(rng)
    windows = pack(layout)
    logits = rng.normal(scale=5, size=(windows.starts[-1], 2))
    found = decode(logits, windows, questions, SpanFormat(n_best=1000, unanswerable=unanswerable))
    sums = np.add.reduceat(found.probability, found.first[:-1])
    assert sums == pytest.approx(np.ones(questions), rel=1e-5)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One window at a time or all at once."""
    rng = np.random.default_rng(5)
    layout, questions = [], 30
    for question in range(questions):
        layout += [Window(question, TOKENS[: rng.integers(5)]) for _ in range(rng.integers(1, 4))]
    windows = pack(layout)
    logits = rng.normal(size=(windows.starts[-1], 2)).astype(np.float32)
    whole = decode(logits, windows, questions, SpanFormat(unanswerable=True))
    monkeypatch.setattr(spans, "BAND_BYTES", 1)
    single = decode(logits, windows, questions, SpanFormat(unanswerable=True))
    for name in ("first", "start", "end", "score"):
        np.testing.assert_array_equal(getattr(single, name), getattr(whole, name))
    np.testing.assert_allclose(single.probability, whole.probability, rtol=1e-6)


def test_answer_that_only_the_second_window_sees_whole() -> None:
    """It crosses the edge of the first; a start in one window never meets an end in another."""
    layout = [Window(0, TOKENS[:2]), Window(0, TOKENS[1:])]
    logits = logits_of((0, [0, 9], [0, 0]), (0, [3, 0, 0], [0, 0, 9]))
    found = decode(logits, pack(layout), 1, SpanFormat())
    assert best_texts(found, [TEXT]) == ["is in Belgium"]
    assert found.score[0] == 12
    assert "Lüttich is in Belgium" not in nbest_texts(found, [TEXT])[0]


def test_copies_are_one_answer() -> None:
    """Score of the better, probability of both; each question on its own."""
    layout = [Window(0, TOKENS[:1]), Window(0, TOKENS[:2]), Window(1, TOKENS[:1])]
    logits = logits_of((0, [1], [1]), (0, [2, 0], [2, 0]), (0, [7], [7]))
    found = decode(logits, pack(layout), 2, SpanFormat(max_answer=1))
    assert rows(found) == [(0, 7), (8, 10)]
    assert found.score.tolist() == [4, 0, 14]
    total = np.exp(2) + np.exp(4) + 1
    assert found.probability == pytest.approx([(np.exp(2) + np.exp(4)) / total, 1 / total, 1])


def test_tokens_that_share_a_character() -> None:
    """One character of four bytes, four tokens: all their spans are one answer, and the other one is not lost."""
    layout = [Window(0, [(0, 1)] * 4 + [(1, 2)])]
    logits = logits_of((0, [5, 5, 5, 5, 0], [5, 5, 5, 5, 0]))
    found = decode(logits, pack(layout), 1, SpanFormat(n_best=3))
    assert rows(found) == [(0, 1), (0, 2), (1, 2)]
    total = 10 * np.exp(10) + 4 * np.exp(5) + 1
    assert found.probability == pytest.approx(np.array([10 * np.exp(10), 4 * np.exp(5), 1]) / total)


def test_no_answer_starts_or_ends_on_a_token_without_characters() -> None:
    """It would read as "no answer"; inside an answer it is welcome."""
    layout = [Window(0, [(0, 1), (2, 2), (2, 3)])]
    found = decode(logits_of((0, [0, 9, 0], [0, 9, 0])), pack(layout), 1, SpanFormat())
    assert rows(found) == [(0, 1), (0, 3), (2, 3)]


def test_longest_answer_in_tokens() -> None:
    """Two tokens are allowed, so the span over three is not, however good."""
    logits = logits_of((0, [9, 0, 1, 0], [0, 0, 9, 0]))
    assert best_texts(decode(logits, pack([Window(0, TOKENS)]), 1, SpanFormat(max_answer=3)), [TEXT]) == [
        "Lüttich is in"
    ]
    found = decode(logits, pack([Window(0, TOKENS)]), 1, SpanFormat(max_answer=2))
    assert best_texts(found, [TEXT]) == ["in"]
    assert all(end - start <= 10 for start, end in rows(found))


@pytest.mark.parametrize(
    ("null", "threshold", "order"),
    [
        (3.0, 0.0, [(-1, -1), (0, 7), (8, 10)]),  # beats the best span, 2
        (2.0, 0.0, [(0, 7), (-1, -1), (8, 10)]),  # not by more than 0
        (3.0, 1.0, [(0, 7), (-1, -1), (8, 10)]),  # not by more than 1: second in spite of its score
        (3.5, 1.0, [(-1, -1), (0, 7), (8, 10)]),
        (-1.0, 0.0, [(0, 7), (8, 10), (-1, -1)]),
        (1.5, -1.0, [(-1, -1), (0, 7), (8, 10)]),  # a negative threshold puts it first in spite of its score
    ],
)
def test_place_of_no_answer(null: float, threshold: float, order: list[tuple[int, int]]) -> None:
    """First if it wins by more than the threshold, else after the best span, by score."""
    logits = logits_of((null, [2, 0], [0, 0]))
    form = SpanFormat(unanswerable=True, null_threshold=threshold, max_answer=1)
    found = decode(logits, pack([Window(0, TOKENS[:2])]), 1, form)
    assert rows(found) == order
    assert found.null_difference.tolist() == [null - 2]
    total = np.exp(null) + np.exp(2) + 1
    assert found.probability[order.index((-1, -1))] == pytest.approx(np.exp(null) / total)
    never = decode(logits, pack([Window(0, TOKENS[:2])]), 1, SpanFormat(max_answer=1))
    assert rows(never) == [(0, 7), (8, 10)]
    assert np.isnan(never.null_difference).all()


def test_every_window_must_say_that_there_is_no_answer() -> None:
    """The null's score is the lowest of the windows'."""
    layout = [Window(0, TOKENS[:2]), Window(0, TOKENS[2:])]
    found = decode(logits_of((9, [0, 0], [0, 0]), (-1, [0, 0], [0, 0])), pack(layout), 1, SpanFormat(unanswerable=True))
    assert found.null_difference.tolist() == [-1]
    assert rows(found)[-1] == (-1, -1)


def test_n_best_counts_the_null_and_may_exceed_the_spans() -> None:
    """Three spans and the null."""
    logits, windows = logits_of((1, [2, 0], [0, 0])), pack([Window(0, TOKENS[:2])])
    for n_best, kept in ((1, 1), (2, 2), (4, 4), (50, 4)):
        found = decode(logits, windows, 1, SpanFormat(unanswerable=True, n_best=n_best))
        assert len(found.start) == kept


def test_equal_scores_go_to_the_earlier_start_then_the_earlier_end() -> None:
    """A constant model; also over windows that come in the other order."""
    constant = logits_of((0, [0, 0], [0, 0]), (0, [0, 0], [0, 0]))
    layout = [Window(0, TOKENS[2:]), Window(0, TOKENS[:2])]
    found = decode(constant, pack(layout), 1, SpanFormat(n_best=4))
    assert rows(found) == [(0, 7), (0, 10), (8, 10), (11, 13)]


@pytest.mark.parametrize("unanswerable", [False, True])
def test_empty_context(unanswerable: bool) -> None:
    """The one candidate is "no answer", with certainty, between two ordinary questions."""
    layout = [Window(0, TOKENS[:1]), Window(1, []), Window(2, TOKENS[:1])]
    logits = logits_of((-5, [1], [1]), (-3, [], []), (-5, [1], [1]))
    found = decode(logits, pack(layout), 3, SpanFormat(unanswerable=unanswerable, null_threshold=2 * unanswerable))
    assert rows(found, 1) == [(-1, -1)]
    at = found.first[1]
    assert (found.probability[at], found.score[at]) == (1, -3)
    assert best_texts(found, [TEXT, "", TEXT]) == ["Lüttich", "", "Lüttich"]
    assert np.isposinf(found.null_difference[1]) if unanswerable else np.isnan(found.null_difference[1])
    alone = decode(logits_of((0, [], [])), pack([Window(0, [])]), 1, SpanFormat())
    assert nbest_texts(alone, [""]) == [[""]]


def test_texts_are_cut_out_of_the_contexts() -> None:
    """Characters, not bytes; "" for no answer; every question its own context."""
    layout = [Window(0, TOKENS[:1]), Window(1, [(0, 2)])]
    logits = logits_of((1, [2], [0]), (5, [0], [0]))
    found = decode(logits, pack(layout), 2, SpanFormat(unanswerable=True))
    assert best_texts(found, [TEXT, "né"]) == ["Lüttich", ""]
    assert nbest_texts(found, [TEXT, "né"]) == [["Lüttich", ""], ["", "né"]]
    with pytest.raises(ValueError):
        best_texts(found, [TEXT])


def test_far_apart_logits_are_no_trouble() -> None:
    """Scores in the hundreds of thousands, and spans that no float64 exponential could hold."""
    logits = logits_of((0, [1e5, -1e5], [-1e5, 1e5]))
    found = decode(logits, pack([Window(0, TOKENS[:2])]), 1, SpanFormat(unanswerable=True))
    assert rows(found)[0] == (0, 10)
    assert found.probability.tolist() == [1, 0, 0, 0]


def test_what_cannot_be_decoded() -> None:
    """A diverged model, and a question that nobody asked."""
    windows = pack([Window(0, TOKENS[:1])])
    with pytest.raises(ValueError, match="NaN"):
        decode(logits_of((0, [np.nan], [0])), windows, 1, SpanFormat())
    with pytest.raises(ValueError, match="needs a window"):
        decode(logits_of((0, [0], [0])), windows, 2, SpanFormat())
