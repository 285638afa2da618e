"""The metrics of an attack, against values worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdbench.attacks.outcomes import AttackOutcome, QuestionOutcome, changed_words, summarize, summarize_questions


def outcome(kind: str, queries: int = 1, words: int = 10, perturbed_words: int = 0) -> AttackOutcome:
    predicted = 1 if kind == "skipped" else 0
    adversarial = 0 if kind == "failed" else 1
    return AttackOutcome("x", 0, predicted, kind, adversarial, queries, words, perturbed_words, "", "")


def test_summary_by_hand():
    outcomes = [
        outcome("skipped"),
        outcome("failed", queries=40, perturbed_words=9),
        outcome("success", queries=20, words=10, perturbed_words=2),
        outcome("success", queries=30, words=4, perturbed_words=4),
        outcome("success", queries=10, words=2, perturbed_words=3),  # insertions: at most all words
    ]
    assert summarize(outcomes) == pytest.approx(
        {
            "accuracy_under_attack": 1 / 5,
            "clean_accuracy": 4 / 5,
            "success_rate": 3 / 4,
            "mean_queries": 25.0,
            "mean_perturbed_words": (0.2 + 1.0 + 1.0) / 3,
            "examples": 5.0,
        }
    )


def test_summary_without_attacked_or_successful_examples():
    nothing = {"accuracy_under_attack": 0.0, "clean_accuracy": 0.0, "success_rate": 0.0}
    nothing |= {"mean_queries": 0.0, "mean_perturbed_words": 0.0}
    assert summarize([]) == nothing | {"examples": 0.0}
    assert summarize([outcome("skipped")] * 3) == nothing | {"examples": 3.0}
    held = summarize([outcome("failed", queries=7)] * 2)
    assert held["accuracy_under_attack"] == held["clean_accuracy"] == 1.0
    assert held["success_rate"] == held["mean_perturbed_words"] == 0.0
    assert held["mean_queries"] == 7.0


def question(kind: str, clean: tuple[float, float], after: tuple[float, float], queries: int = 1) -> QuestionOutcome:
    return QuestionOutcome("x", kind, *clean, *after, "", "", queries, 4, 1 if kind == "success" else 0, "", "")


def test_summary_of_questions_by_hand():
    outcomes = [
        question("skipped", (0.2, 0.0), (0.2, 0.0)),
        question("failed", (1.0, 1.0), (0.6, 0.0), queries=30),
        question("success", (1.0, 1.0), (0.0, 0.0), queries=20),
        question("success", (0.8, 0.0), (0.4, 0.0), queries=10),
    ]
    assert summarize_questions(outcomes) == pytest.approx(
        {
            "f1_under_attack": 1.2 / 4,
            "exact_match_under_attack": 0.0,
            "clean_f1": 3.0 / 4,
            "clean_exact_match": 2 / 4,
            "accuracy_under_attack": 1 / 4,
            "clean_accuracy": 3 / 4,
            "success_rate": 2 / 3,
            "mean_queries": 20.0,
            "mean_perturbed_words": 1 / 4,
            "examples": 4.0,
        }
    )
    held = question("failed", (1.0, 1.0), (1.0, 1.0))
    assert summarize_questions([held])["exact_match_under_attack"] == 1.0
    assert set(summarize_questions([]).values()) == {0.0}


KINDS = st.sampled_from(["skipped", "failed", "success"])


@given(st.lists(st.builds(outcome, KINDS, st.integers(1, 99), st.integers(0, 9), st.integers(0, 20))))
def test_summary_laws(outcomes):
    summary = summarize(outcomes)
    assert all(0.0 <= value <= 1.0 for key, value in summary.items() if key not in {"mean_queries", "examples"})
    survived = summary["clean_accuracy"] * (1 - summary["success_rate"])
    assert summary["accuracy_under_attack"] == pytest.approx(survived)
    assert summarize(outcomes[::-1]) == pytest.approx(summary)


def test_changed_words_by_hand():
    assert changed_words([], []) == 0
    assert changed_words(["a", "b", "c"], ["a", "x", "c"]) == 1
    assert changed_words(["a", "b"], ["b", "a"]) == 2  # same length: positions, as TextAttack counts
    assert changed_words(["a", "b", "c"], ["a", "c"]) == 1
    assert changed_words(["go", "home"], ["g", "o", "home"]) == 2  # a space put into a word
    assert changed_words(["a"], ["a", "b", "c", "d"]) == 3
    assert changed_words(["x", "y"], []) == 2


WORDS = st.lists(st.sampled_from("abc"), max_size=7)


@given(WORDS, WORDS)
def test_changed_words_is_an_edit_distance_for_unlike_lengths(left, right):
    editdistance = pytest.importorskip("editdistance")
    expected = editdistance.eval(left, right)
    if len(left) == len(right):
        assert changed_words(left, right) >= expected
    else:
        assert changed_words(left, right) == expected
