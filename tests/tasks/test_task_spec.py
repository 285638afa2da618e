"""Task definitions that contradict themselves are refused when they are read, not after training."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kdbench.tasks.spec import DataSource, TaskSpec

TASK: dict[str, Any] = {
    "name": "t",
    "source": {"mirror": "local/t"},
    "columns": {"text": "text"},
    "labels": ["no", "yes"],
    "label_map": {0: "no", 1: "yes"},
}
SET: dict[str, Any] = {"name": "o", "source": {"mirror": "local/o"}, "columns": {"text": "text"}}
SCORES: dict[str, Any] = {"kind": "text-regression", "labels": [], "label_map": {}, "metrics": ["pearson"]}


def _task(**changes: Any) -> TaskSpec:
    return TaskSpec.model_validate({**TASK, **changes})


def test_outputs_and_evaluation_set() -> None:
    """One logit a class, one for a score; the reported split uses the task's own columns and labels."""
    task = _task(splits={"train": "a", "evaluation": "b"})
    assert task.num_outputs == 2 and task.evaluation_dataset().split == "b"
    assert task.evaluation_dataset().label_map == {0: "no", 1: "yes"}
    assert _task(**SCORES, selection={"metric": "pearson"}).num_outputs == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["no"], "label_map": {}}, "names at least two labels"),
        ({"kind": "text-regression"}, "a task of kind text-regression has no labels"),
        ({"label_map": {0: "maybe"}}, "label_map: 0 -> 'maybe' is not one of no, yes"),
        ({"ood": [{**SET, "label_map": {2: "x"}}]}, "ood o: 2 -> 'x' is not one of no, yes"),
        ({"ood": [SET, SET]}, "two ood sets share a name"),
        ({"ood": [{**SET, "labels": ["n", "y"]}]}, "prediction_map must say what no, yes becomes"),
        (
            {"ood": [{**SET, "labels": ["n", "yes"], "prediction_map": {"no": "x"}}]},
            "prediction_map no -> x names no such class",
        ),
        ({"max_length": 2}, "greater than or equal to 4"),
        ({"name": "../evil"}, "String should match pattern"),
        ({"source": {"hub": "../up"}}, "must be a plain name"),
        ({"source": {"hub": "a/b", "config": "/etc"}}, "must be a plain name"),
        ({"source": {}}, "needs exactly one of hub, mirror, pypi, files; has none"),
        ({"source": {"hub": "a", "mirror": "b"}}, "has hub, mirror"),
    ],
)
def test_contradictions(changes: dict[str, Any], message: str) -> None:
    """Each with a message that names the part."""
    with pytest.raises(ValidationError, match=message):
        _task(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": ["acuracy"]},
        {"selection": {"metric": "acuracy"}},
        {"metrics": ["pearson"]},
        {"selection": {"metric": "spearman"}},
        SCORES,  # the default selection metric is accuracy
        {**SCORES, "metrics": ["accuracy"], "selection": {"metric": "pearson"}},
        {"labels": ["a", "b", "c"], "label_map": {}, "metrics": ["f1"]},  # f1 is that of class 1 of two
    ],
    ids=["unknown metric", "unknown selection", "score for classes", "select by score", "select scores by accuracy",
         "accuracy of scores", "f1 of three classes"],
)  # fmt: skip
def test_metrics_must_exist_and_fit_the_kind(changes: dict[str, Any]) -> None:
    """Otherwise the mistake shows up as a traceback after an epoch of training, or as a constant 0."""
    with pytest.raises(ValidationError, match="metric"):
        _task(**changes)


def test_no_label_may_be_named_twice() -> None:
    """Two logits with one name."""
    with pytest.raises(ValidationError, match=r"twice|duplicate|distinct"):
        _task(labels=["no", "yes", "yes"])


def test_describing_a_source() -> None:
    """As the mirror lays it out."""
    assert DataSource(hub="a/b", config="c").describe("test") == "a/b/c/test"
    assert DataSource(mirror="local/x").folder == "local/x/default"
    assert DataSource(pypi="p", config="c").folder == "pypi/p/c"
