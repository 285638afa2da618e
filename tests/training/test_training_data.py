"""What a model reaches that has learnt nothing, by metric; below it a teacher is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kdbench.cells.teacher import LabelMapError, _check_labels
from kdbench.inputs.spans import SpanReader
from kdbench.inputs.text import TextReader
from kdbench.models.tiny import tiny_tokenizer
from kdbench.tasks.dataset import SpanExamples, TextExamples
from kdbench.tasks.spec import SpanFormat
from kdbench.training.data import training_data
from kdbench.training.state import TrainingData

FORM = SpanFormat(stride=4, max_question=8, unanswerable=True)


def _questions(*answerable: bool) -> SpanExamples:
    count = len(answerable)
    return SpanExamples(
        ids=[str(row) for row in range(count)],
        labels=np.array(answerable, dtype=np.int64),
        groups=None,
        texts=["a"] * count,
        pairs=["the film"] * count,
        answers=[("film",) if has else () for has in answerable],
        answer_starts=[(4,) if has else () for has in answerable],
    )


def _data(metric: str, *, unanswerable: bool = True) -> TrainingData:
    view: dict[str, Any] = {"kind": "question-answering", "labels": [], "spans": FORM.model_dump()}
    view["spans"]["unanswerable"] = unanswerable
    selection = _questions(True, False, False, False)
    return training_data(view, metric, _questions(True, False), selection, SpanReader(tiny_tokenizer(), 32, FORM))


@pytest.mark.parametrize(
    ("metric", "chance"),
    [("token_f1", 0.75), ("exact_match", 0.75), ("hasans_token_f1", 0.0), ("noans_exact_match", 1.0)],
)
def test_chance_of_answers_is_that_of_never_answering(metric: str, chance: float) -> None:
    """Which scores on every unanswerable question; and that is what the metric says of such a model."""
    data = _data(metric)
    assert data.chance == chance
    never = data.selection.new_logits(2)
    never[:] = -10.0
    never[np.asarray(data.selection.starts[:-1])] = 10.0  # type: ignore[attr-defined]
    assert data.score(never) == chance


def test_chance_without_unanswerable_questions_is_nothing() -> None:
    """A span by chance is hardly ever right."""
    assert _data("token_f1", unanswerable=False).chance == 0.0


@pytest.mark.parametrize(
    ("kind", "labels", "metric", "chance"),
    [
        ("text-classification", ["a", "b", "c"], "accuracy", 1 / 3),
        ("text-classification", ["a", "b"], "f1", None),
        ("text-classification", ["a", "b"], "matthews", 0.0),
        ("text-regression", [], "pearson", 0.0),
    ],
)
def test_chance_of_classes_and_scores(kind: str, labels: list[str], metric: str, chance: float | None) -> None:
    examples = TextExamples(["x"] * 4, np.array([0, 1, 1, 0]), None, ["a film"] * 4, None)
    reader = TextReader(tiny_tokenizer(), 16)
    assert training_data({"kind": kind, "labels": labels}, metric, examples, examples, reader).chance == chance


def test_a_teacher_that_never_answers_is_refused() -> None:
    """0.75 is all it takes here; with more it passes, and where chance is not defined anything does."""
    spec = {"chance_margin": 0.02, "task": {"name": "q"}}
    with pytest.raises(LabelMapError, match=r"token_f1 0.750 .* below chance \+ margin \(0.750 \+ 0.020\)"):
        _check_labels(spec, _data("token_f1"), 0.75)
    _check_labels(spec, _data("token_f1"), 0.8)
