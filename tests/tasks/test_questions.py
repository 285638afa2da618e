"""Questions from tables: what is kept, what is refused, and which rows belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from kdbench.errors import DataError
from kdbench.tasks.dataset import SpanExamples, carve_selection
from kdbench.tasks.questions import to_questions
from kdbench.tasks.spec import TASKS, Columns, TaskSpec

COLUMNS = Columns(text="question", text_pair="context", label="answers")
TASK: dict[str, Any] = {
    "name": "q",
    "kind": "question-answering",
    "source": {"mirror": "local/q"},
    "columns": {"text": "question", "text_pair": "context", "label": "answers"},
    "metrics": ["token_f1"],
    "selection": {"metric": "token_f1"},
    "max_length": 384,
    "spans": {},
}


def _row(question: str | None, context: str, *answers: str) -> dict[str, Any]:
    starts = [context.index(answer) for answer in answers]
    return {"question": question, "context": context, "answers": {"text": [*answers], "answer_start": starts}}


def _read(*rows: dict[str, Any], unanswerable: bool = True) -> SpanExamples:
    return to_questions(pd.DataFrame(rows), COLUMNS, unanswerable=unanswerable, where="set")


def test_several_references_and_none() -> None:
    """All references are kept; unanswerable questions are marked, or dropped where a task has none."""
    rows = [_row("who", "ann met ben", "ann", "ann met"), _row("why", "ann met ben"), _row(None, "ann", "ann")]
    found = _read(*rows)
    assert found.answers == [("ann", "ann met"), ()] and found.answer_starts == [(0, 0), ()]
    assert found.labels.tolist() == [1, 0] and found.texts == ["who", "why"] and found.pairs == ["ann met ben"] * 2
    assert _read(*rows, unanswerable=False).texts == ["who"]


def test_answers_as_parquet_has_them() -> None:
    """Arrays in place of lists."""
    row = {"question": "who", "context": "é ann", "answers": {"text": np.array(["ann"]), "answer_start": np.array([2])}}
    assert _read(row).answers == [("ann",)] and _read(row).answer_starts == [(2,)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "who", "context": "ann"}, "set: has no column answers; it has question, context"),
        (
            {"question": "who", "context": "ann", "answers": "ann"},
            "set, row 0: the answers are 'ann', not .*plain text .CSV. cannot hold them, JSONL and parquet can",
        ),
        (
            {"question": "who", "context": "ann", "answers": {"text": ["ann"], "answer_start": []}},
            "as many whole numbers: set 'columns.label'",
        ),
        *(
            ({"question": "who", "context": "ann", "answers": answers}, "not a mapping of 'text' to a list of texts")
            for answers in (
                {"text": "ann", "answer_start": 0},
                {"text": "12", "answer_start": "34"},
                {"text": None, "answer_start": None},
                {"text": ["ann"], "answer_start": [None]},
                {"text": ["ann"], "answer_start": ["0"]},
                {"text": [3], "answer_start": [0]},
            )
        ),
    ],
)
def test_tables_that_hold_something_else(row: dict[str, Any], message: str) -> None:
    """One line that says what was found and what to do."""
    with pytest.raises(DataError, match=message):
        _read(row)


def test_nothing_left() -> None:
    """A task without unanswerable questions, and a set of nothing else."""
    with pytest.raises(DataError, match="set: no question with an answer is left"):
        _read(_row("why", "ann"), unanswerable=False)


def test_questions_about_one_context_stay_on_one_side() -> None:
    """The selection split must not know the paragraphs that are trained on."""
    rows = [_row(f"who {i}", f"in {i // 4} ann met ben", "ann") for i in range(200)]
    train, selection = carve_selection(_read(*rows), 0.3, 1000)
    assert not set(train.pairs or []) & set(selection.pairs or [])
    assert len(train) + len(selection) == 200 and 20 < len(selection) < 100
    for part in (train, selection):
        assert all(context.startswith("in ") for context in part.pairs or [])
        assert part.answers == [("ann",)] * len(part) and len(part.answer_starts) == len(part)


def test_what_a_task_of_questions_has() -> None:
    """Two outputs, attacks on questions, F1 out of domain."""
    task = TASKS.get("squad_v2")
    assert (task.num_outputs, task.attack_kind, task.modality) == (2, "question", "text")
    assert task.ood_metrics == ("token_f1", "exact_match")
    assert task.spans and task.spans.unanswerable


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spans": None}, "a task of kind question-answering needs 'spans'"),
        ({"labels": ["a", "b"]}, "a task of kind question-answering has no labels"),
        ({"columns": {"text": "question", "label": "answers"}}, "name text .question. and text_pair"),
        ({"metrics": ["accuracy"]}, "metric 'accuracy' is none of token_f1, exact_match"),
        ({"selection": {"metric": "f1"}}, "metric 'f1' is none of token_f1"),
        ({"metrics": ["token_f1", "noans_exact_match"]}, "is of unanswerable questions: set spans.unanswerable"),
        ({"spans": {"null_threshold": 1.0}}, "null_threshold is for questions without an answer"),
        (
            {"ood": [{"name": "o", "source": {"mirror": "o"}, "columns": TASK["columns"], "labels": ["a", "b"]}]},
            "a set of questions has neither labels nor maps",
        ),
        ({"max_length": 128}, "max_length 128 leaves no room for a question of 64 tokens"),
        ({"kind": "text-classification", "labels": ["a", "b"], "metrics": ["accuracy"]}, "has no 'spans'"),
    ],
)
def test_contradictions(changes: dict[str, Any], message: str) -> None:
    """Each with a message that names the part."""
    assert TaskSpec.model_validate(TASK)
    with pytest.raises(ValidationError, match=message):
        TaskSpec.model_validate({**TASK, **changes})
