"""SQuAD's metrics: hand cases, laws, and two independent implementations on real references."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.data.metrics.squad_metrics import squad_evaluate
from transformers.data.processors.squad import SquadExample

from kdbench.answers.metrics import (
    METRICS,
    answer_scores,
    compute_answer_metric,
    exact_match,
    normalize_answer,
    token_f1,
)

TEXTS = st.text("aAtThe nm.,'-éÜß—“1", max_size=12)
REFERENCES = st.lists(TEXTS, max_size=3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat,\tsat\non a mat!", "cat sat on mat"),
        ("U.S.A.", "usa"),
        ("well-known", "wellknown"),
        ("'the'", ""),
        ("An A the", ""),
        ("theatre another banana", "theatre another banana"),
        ("a$b", "ab"),
        ("ÉCOLE", "école"),
        ("“the” – Straße…", "“ ” – straße…"),
        ("cafe\u0301", "cafe\u0301"),
        ("e\u0301a", "e\u0301"),  # a combining mark ends a word, for the script as well
        ("the\u00a0cat", "cat"),
        ("l’a", "l’"),
        ("", ""),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    """ASCII punctuation goes first, then whole words that are articles; what else is Unicode stays."""
    assert normalize_answer(text) == expected


@pytest.mark.parametrize(
    ("prediction", "references", "exact", "f1"),
    [
        ("the Eiffel Tower!", ["Eiffel tower"], 1, 1),
        ("Eiffel", ["Eiffel Tower"], 0, 2 / 3),
        ("in Paris, France", ["Paris", "Paris France", "Lyon"], 0, 4 / 5),
        ("no no no", ["no no yes"], 0, 2 / 3),
        ("yes", ["no"], 0, 0),
        ("", ["Paris"], 0, 0),
        ("the", ["Paris"], 0, 0),
        ("", [], 1, 1),
        ("a .", [], 1, 1),
        ("Paris", [], 0, 0),
        ("", ["the"], 1, 1),
        ("A", ["the"], 1, 1),
        ("Paris", ["the"], 0, 0),
        ("", ["the", "Paris"], 0, 0),
        ("Paris", ["the", "Paris"], 1, 1),
    ],
)
def test_scores_by_hand(prediction: str, references: list[str], exact: float, f1: float) -> None:
    """References that normalise to nothing are dropped; without any other, nothing is the right answer."""
    assert exact_match(prediction, references) == exact
    assert token_f1(prediction, references) == pytest.approx(f1)


@given(TEXTS, REFERENCES)
def test_exact_match_is_the_harder(prediction: str, references: list[str]) -> None:
    """0 <= exact match <= F1 <= 1, and the former is 0 or 1."""
    exact, f1 = exact_match(prediction, references), token_f1(prediction, references)
    assert exact in (0.0, 1.0)
    assert exact <= f1 <= 1.0


@given(TEXTS, TEXTS)
def test_f1_is_symmetric(one: str, other: str) -> None:
    """Precision and recall change places."""
    assert token_f1(one, [other]) == token_f1(other, [one])


@given(TEXTS, REFERENCES, TEXTS.filter(normalize_answer))
def test_more_references_never_hurt_an_answer(prediction: str, references: list[str], another: str) -> None:
    """The maximum grows, once there is any reference; "no answer" loses with the first."""
    if any(map(normalize_answer, references)):
        for score in (exact_match, token_f1):
            assert score(prediction, [*references, another]) >= score(prediction, references)
            assert score(prediction, [another, *references]) == score(prediction, [*references, another])
    assert token_f1("", [*references, another]) == 0


@given(TEXTS)
def test_normalisation_settles(text: str) -> None:
    """Once more changes nothing."""
    assert normalize_answer(normalize_answer(text)) == normalize_answer(text)


def test_metrics_of_a_split_by_hand() -> None:
    """Two answerable questions and three that are not."""
    predictions = ["Paris", "in Paris", "", "Paris", ""]
    exact, f1 = answer_scores(predictions, [["Paris"], ["Paris"], [], [], []])
    assert exact.tolist() == [1, 0, 1, 0, 1]
    assert f1 == pytest.approx([1, 2 / 3, 1, 0, 1])
    answerable = np.array([True, True, False, False, False])
    values = {name: compute_answer_metric(name, exact, f1, answerable) for name in METRICS}
    assert values == pytest.approx(
        {
            "exact_match": 3 / 5,
            "token_f1": (1 + 2 / 3 + 2) / 5,
            "hasans_exact_match": 1 / 2,
            "hasans_token_f1": 5 / 6,
            "noans_exact_match": 2 / 3,
        }
    )
    assert compute_answer_metric("noans_exact_match", exact[:2], f1[:2], answerable[:2]) == 0
    empty = answer_scores([], [])
    assert empty[0].shape == empty[1].shape == (0,)
    assert compute_answer_metric("token_f1", *empty, np.array([], dtype=bool)) == 0


def test_wrong_use_is_an_error() -> None:
    """Unknown metrics and unequal lengths."""
    with pytest.raises(ValueError, match="bleu"):
        compute_answer_metric("bleu", np.ones(1), np.ones(1), np.ones(1, dtype=bool))
    with pytest.raises(ValueError):
        answer_scores(["a"], [])


def real_references(path: Path) -> tuple[list[str], list[list[str]]]:
    """Contexts and references of a split of the mirror."""
    if not path.is_file():
        pytest.skip(f"the mirror has no {path.name} of {path.parent.name}")
    table = pd.read_parquet(path)
    return list(table["context"]), [list(answers["text"]) for answers in table["answers"]]


def random_predictions(contexts: list[str], references: list[list[str]]) -> list[str]:
    """A reference, a piece around one, words of the context in any case, or nothing."""
    rng = np.random.default_rng(0)
    predictions = []
    for context, correct in zip(contexts, references, strict=True):
        words = context.split()
        begin = int(rng.integers(len(words)))
        piece = " ".join(words[begin : begin + int(rng.integers(1, 6))])
        answer = str(rng.choice(correct)) if correct else ""
        predictions.append([answer, f"the {answer.upper()}, {words[begin]}", piece, ""][int(rng.integers(4))])
    return predictions


def test_same_as_torchmetrics(mirror: Path) -> None:
    """Its SQuAD is that of 1.1 (percent), which is 2.0 for references that do not normalise to nothing."""
    squad = pytest.importorskip("torchmetrics.functional.text").squad
    contexts, references = real_references(mirror / "rajpurkar" / "squad" / "plain_text" / "validation.parquet")
    predictions = random_predictions(contexts, references)
    assert all(normalize_answer(text) for correct in references for text in correct)
    exact, f1 = answer_scores(predictions, references)
    assert 0.1 < exact.mean() < f1.mean() < 0.9
    for i, (prediction, correct) in enumerate(zip(predictions, references, strict=True)):
        target = {"id": "0", "answers": {"text": correct, "answer_start": [0] * len(correct)}}
        expected = squad([{"id": "0", "prediction_text": prediction}], [target])
        assert 100 * exact[i] == float(expected["exact_match"])
        assert 100 * f1[i] == pytest.approx(float(expected["f1"]), rel=1e-5)


def test_same_as_the_official_script_in_transformers(mirror: Path) -> None:
    """All five metrics on SQuAD 2.0; a third of the answerable questions keep no reference but "The"."""
    contexts, references = real_references(mirror / "rajpurkar" / "squad_v2" / "squad_v2" / "validation.parquet")
    predictions = random_predictions(contexts, references)
    references = [["The", *(correct if i % 3 else [])] if correct else [] for i, correct in enumerate(references)]
    examples = [
        SquadExample(str(i), "?", "", None, None, "", [{"text": text} for text in correct], not correct)
        for i, correct in enumerate(references)
    ]
    expected = squad_evaluate(examples, {str(i): text for i, text in enumerate(predictions)})
    scores = answer_scores(predictions, references)
    answerable = np.array([bool(correct) for correct in references])
    names = ("exact", "f1", "HasAns_exact", "HasAns_f1", "NoAns_exact")
    for ours, theirs in zip(METRICS, names, strict=True):
        assert 100 * compute_answer_metric(ours, *scores, answerable) == pytest.approx(expected[theirs])
