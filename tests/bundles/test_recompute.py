"""Numbers of every evaluation once more, on outcomes made by hand whose numbers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kdbench.bundles.outcomes import Recomputed
from kdbench.bundles.recompute import recompute
from kdbench.errors import StoreError
from kdbench.hashing import digest
from kdbench.record import EXAMPLES_FILE, Record, RunInfo
from kdbench.store import Store

IDS = ["a", "b", "c", "d"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    created = Store(tmp_path / "store")
    created.create()
    return created


def _finish(store: Store, spec: dict[str, Any], table: pd.DataFrame, **record: Any) -> Record:
    """Publish an evaluation as a worker would."""
    spec = {"kind": "evaluation", "number": len(list(store.root.glob("cells/*/*"))), **spec}
    key = digest(spec)
    table.to_parquet(store.output(key) / EXAMPLES_FILE)
    info = RunInfo(wall_seconds=1, peak_memory_mb=1, started="", host="", device="", versions={})
    store.publish(Record(key=key, kind="evaluation", spec=spec, **record), info)
    finished = store.record(key)
    assert finished is not None
    return finished


def _images(**columns: Any) -> pd.DataFrame:
    """Skipped, broken by the first member, broken by the second, standing."""
    table = {
        "id": IDS,
        "label": [0, 1, 1, 0],
        "predicted": [1, 1, 1, 0],
        "outcome": ["skipped", "success", "success", "failed"],
        "adversarial": [1, 0, 0, 0],
        "broken_by": ["", "fgsm", "pgd", ""],
        "broken_at": [0.0, 0.1, 0.1, np.inf],
        "queries": [1, 3, 20, 30],
        "gradients": [0, 1, 10, 20],
        "norm": np.array([0, 0.1, 0.05, 0.1], np.float32),
    }
    return pd.DataFrame(table | columns)


IMAGE_ATTACK = {
    "evaluation": "attack",
    "attack_version": "x/1",
    "attack": {"kind": "image", "name": "x", "epsilon": 0.1, "members": [{"algorithm": "fgsm"}, {"algorithm": "pgd"}]},
}


def _attack(store: Store, table: pd.DataFrame, **attack: Any) -> Recomputed:
    spec = {**IMAGE_ATTACK, "attack": {**IMAGE_ATTACK["attack"], **attack}}
    return recompute(store, _finish(store, spec, table))


def test_attack_on_images(store: Store) -> None:
    found = _attack(store, _images())
    assert found.metrics == pytest.approx(
        {
            "accuracy_under_attack": 0.25, "clean_accuracy": 0.75, "success_rate": 2 / 3, "mean_queries": 53 / 3,
            "mean_gradients": 31 / 3, "mean_norm": 0.075,
        }
    )  # fmt: skip
    assert found.details == {
        "examples": 4,
        "attack_version": "x/1",
        "accuracy_after": {"fgsm": 0.5, "pgd": 0.25},
    }
    assert found.cost == {"queries": 54, "gradients": 31} and found.problems == []


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"outcome": ["skipped", "success", "failed", "failed"]}, "not what predictions and members say"),
        ({"broken_by": ["pgd", "fgsm", "pgd", ""]}, "not what predictions and members say"),
        ({"adversarial": [1, 1, 0, 0]}, "counts as broken and is still classified right"),
        ({"broken_at": [0.0, 0.05, 0.1, np.inf]}, "the epsilon that broke an image is not what"),
        ({"broken_at": [np.inf, 0.1, 0.1, np.inf]}, "the epsilon that broke an image is not what"),
        ({"broken_at": [0.0, 0.1, 0.1, 0.1]}, "the epsilon that broke an image is not what"),
        ({"norm": np.array([0, 0.2, 0, 0], np.float32)}, "a perturbation is larger than the epsilon"),
        ({"norm": np.array([0, 0, 0, 0.2], np.float32)}, "a perturbation is larger than the epsilon"),
    ],
)
def test_contradictions_of_an_attack_on_images(store: Store, columns: dict[str, Any], problem: str) -> None:
    assert any(problem in found for found in _attack(store, _images(**columns)).problems)


def test_attack_on_images_of_several_epsilons(store: Store) -> None:
    """What is broken in the smaller ball counts as broken before the first member of the larger one."""
    found = _attack(store, _images(broken_at=[0.0, 0.1, 0.05, np.inf]), epsilons=[0.05, 0.1])
    assert found.details["security_curve"] == [[0.0, 0.75], [0.05, 0.5], [0.1, 0.25]]
    assert found.details["accuracy_after"] == {"fgsm": 0.25, "pgd": 0.25} and found.problems == []
    outside = _attack(store, _images(broken_at=[0.0, 0.05, 0.1, np.inf]), epsilons=[0.05, 0.1])
    assert outside.problems == [
        "a perturbation is larger than the epsilon at which its image was broken, or than the attack's"
    ]


def _questions(**columns: Any) -> pd.DataFrame:
    table = {
        "id": IDS,
        "outcome": ["skipped", "success", "failed", "exhausted"],
        "clean_f1": [0.2, 1.0, 0.8, 1.0],
        "clean_exact_match": [0.0, 1.0, 0.0, 1.0],
        "f1": [0.2, 0.0, 0.6, 1.0],
        "exact_match": [0.0, 0.0, 0.0, 1.0],
        "predicted": IDS,
        "adversarial": IDS,
        "queries": [1, 10, 20, 30],
        "words": [5, 5, 5, 5],
        "perturbed_words": [0, 1, 2, 3],
        "original": IDS,
        "perturbed": IDS,
    }
    return pd.DataFrame(table | columns)


def test_attack_on_questions(store: Store) -> None:
    attack = {"kind": "question", "name": "q", "f1_below": 0.5}
    spec = {"evaluation": "attack", "attack": attack, "attack_version": "q/1", "query_budget": 30}
    found = recompute(store, _finish(store, spec, _questions()))
    assert found.metrics == pytest.approx(
        {
            "f1_under_attack": 0.45, "exact_match_under_attack": 0.25, "clean_f1": 0.75, "clean_exact_match": 0.5,
            "accuracy_under_attack": 0.5, "clean_accuracy": 0.75, "success_rate": 1 / 3, "mean_queries": 20.0,
            "mean_perturbed_words": 0.2,
        }
    )  # fmt: skip
    assert not found.problems
    better = recompute(store, _finish(store, spec, _questions(f1=[0.2, 0.9, 0.6, 1.0])))
    longer = recompute(store, _finish(store, {**spec, "query_budget": 31}, _questions()))
    problem = "outcomes of the attack are not what the predictions before and after it say"
    assert better.problems == longer.problems == [problem]


def test_corruptions(store: Store) -> None:
    table = pd.DataFrame(
        {
            "id": pd.Categorical(["a", "b"] * 4),
            "label": [0, 1] * 4,
            "corruption": pd.Categorical(["fog"] * 4 + ["snow"] * 4),
            "severity": np.repeat(np.array([1, 2, 1, 2], np.int8), 2),
            "prediction": [0, 1, 0, 0, 1, 1, 1, 0],
        }
    )
    found = recompute(store, _finish(store, {"evaluation": "corruption"}, table))
    assert found.details == {"examples": 2, "accuracy": {"fog": {"1": 1.0, "2": 0.5}, "snow": {"1": 0.5, "2": 0.0}}}
    assert found.metrics == {"corruption_accuracy": 0.5} and found.cost == {"forward_examples": 10}


def test_footsteps(store: Store) -> None:
    table = pd.DataFrame({"id": IDS, "label": [0, 1, 1, 0], "prediction_0": [0, 0, 0, 0], "prediction_1": [0, 1, 1, 1]})
    spec = {"evaluation": "trajectory", "metrics": ["accuracy"], "task": {"kind": "image-classification"}}
    stated = [{"index": index, "score": 0.9, "selection": 0.4} for index in (0, 1)]
    found = recompute(store, _finish(store, spec, table, details={"checkpoints": stated}))
    assert found.metrics == {"best_accuracy": 0.75}
    assert [entry["score"] for entry in found.details["checkpoints"]] == [0.5, 0.75]


def test_transfer(store: Store) -> None:
    """Two of three successes on the teacher break the student; a third that is wrong was none at the source."""
    outcome = pd.DataFrame({"id": IDS, "outcome": ["success", "success", "success", "failed"]})
    weaker = outcome.assign(outcome=["failed", "exhausted", "success", "failed"])
    attacks = {"source": outcome, "own": outcome, "baseline": weaker}
    keys = {role: _finish(store, {"evaluation": "attack", "of": role}, attacks[role]).key for role in attacks}
    table = pd.DataFrame({"id": IDS, "label": [0, 1, 1, 0], "source": outcome["outcome"], "adversarial": [1, 0, 1, 1]})
    spec = {
        "evaluation": "transfer",
        "task": {"kind": "text-classification"},
        "attack": {"kind": "text"},
        "upstream": {role: keys[role] for role in ("source", "own")},
    }
    found = recompute(store, _finish(store, spec, table))
    assert found.metrics == {"accuracy_under_transfer": 0.25, "transfer_rate": 2 / 3}
    assert found.details == {"examples": 4, "broken_at_source": 3} and not found.problems and found.flags == ()
    changed = table.assign(source="failed", id=["a", "b", "d", "c"])
    problems = recompute(store, _finish(store, spec, changed)).problems
    assert len(problems) == 3 and any("what the attack did to the teacher" in problem for problem in problems)
    both = table.assign(baseline=weaker["outcome"], adversarial_finetune=[0, 1, 0, 0])
    found = recompute(store, _finish(store, {**spec, "upstream": keys}, both))
    assert found.metrics == {
        "accuracy_under_transfer": 0.25,
        "transfer_rate": 2 / 3,
        "accuracy_under_transfer_finetune": 0.75,
        "transfer_rate_finetune": 1.0,
        "accuracy_under_union": 0.0,
    }
    assert found.cost == {"forward_examples": 8} and not found.problems
    problems = recompute(store, _finish(store, {**spec, "upstream": keys}, table)).problems
    assert problems == [
        "what the attack did to the finetune student is not what the finetune student's own attack says"
    ]


def test_quality(store: Store) -> None:
    """Words follow from the attack; its successes are the rows, and no two models need have the same ones."""
    outcomes = {"outcome": ["success", "failed", "success", "skipped"], "words": 4, "perturbed_words": [1, 9, 2, 0]}
    attack = _finish(store, {"evaluation": "attack"}, pd.DataFrame({"id": IDS, **outcomes})).key
    table = pd.DataFrame({"id": ["a", "c"], "words_changed": [0.25, 0.5], "similarity": [0.9, 0.7]})
    spec = {"evaluation": "quality", "upstream": {"attack": attack}, "task": {"kind": "text-classification"}}
    found = recompute(store, _finish(store, spec, table))
    assert found.metrics == pytest.approx({"words_changed": 0.375, "similarity": 0.8, "low_similarity": 0.5})
    assert found.details == {"examples": 2} and not found.problems and found.sample == ""
    fewer = recompute(store, _finish(store, spec, table.assign(words_changed=0.1))).problems
    assert fewer == ["shares of changed words are not what the attack says"]
    other = recompute(store, _finish(store, spec, table.assign(id=["a", "b"]))).problems
    assert other == ["examples are not the successes of the attack"]


def test_scores_by_group_and_regression(store: Store) -> None:
    table = pd.DataFrame(
        {"id": IDS, "label": [0, 1, 2, 3], "prediction": [0.0, 1.0, 3.0, 2.0], "logit_0": [0, 1, 3, 2]}
    )
    table["group"] = ["x", "x", "y", "y"]
    spec = {"evaluation": "in_domain", "metrics": ["spearman"], "task": {"kind": "text-regression"}, "dataset": {}}
    found = recompute(store, _finish(store, spec, table))
    assert found.metrics == pytest.approx({"spearman": 0.8}) and not found.problems
    assert found.details["groups"] == {
        "x": {"spearman": pytest.approx(1.0), "examples": 2.0},
        "y": {"spearman": pytest.approx(-1.0), "examples": 2.0},
    }
    worse = recompute(store, _finish(store, spec, table.assign(prediction=[0.0, 1.0, 2.0, 3.0])))
    assert worse.problems == ["predictions are not what the logits say"]


def test_more_rows_than_any_evaluation_has(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by the footer, before anything is read."""
    monkeypatch.setattr("kdbench.bundles.outcomes._MOST_ROWS", 3)
    record = _finish(store, {"evaluation": "corruption"}, pd.DataFrame({"id": IDS}))
    with pytest.raises(StoreError, match="has 4 rows: no evaluation has"):
        recompute(store, record)
