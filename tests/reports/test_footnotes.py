"""Footnotes: flags of records at their numbers, and students whose robustness means nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kdbench.hashing import digest
from kdbench.record import Record, RunInfo
from kdbench.reports.build import build_report
from kdbench.reports.markdown import to_markdown
from tests.reports.world import World, outcomes


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "store")


def flagged(world: World, method: str, seed: int, evaluation: str, dataset: str, flag: str) -> None:
    """A finished cell that carries a flag."""
    spec = {"cell": ["p", "t", method, seed, evaluation, dataset]}
    world.add(method, seed, evaluation, dataset, None)
    world.store.output(digest(spec))
    metrics = {"accuracy_under_attack": 0.1, "clean_accuracy": 0.9, "success_rate": 0.8}
    record = Record(key=digest(spec), kind="evaluation", spec=spec, metrics=metrics, flags=(flag,))
    info = RunInfo(wall_seconds=1, peak_memory_mb=1, started="", host="h", device="cpu", versions={})
    world.store.publish(record, info)


def test_flags_stand_at_the_number_they_are_about(world: World) -> None:
    """Once in the summary, once at the attack's own column; both seeds in one note."""
    for seed in (1, 2):
        flagged(world, "kd", seed, "attack", "pgd", f"zero-gradients: {seed}0 % of the gradients are zero")
    report = build_report(world.store, world.manifest())
    assert report.footnotes == (
        "zero-gradients (kd, p): t attack pgd seed 1: 10 % of the gradients are zero; "
        "t attack pgd seed 2: 20 % of the gradients are zero",
    )
    (pair,) = report.pairs
    assert pair.summary.column("attack")["kd"].notes == (1,)
    assert pair.summary.column("attack_clean")["kd"].notes == ()
    (table,), (attack,) = pair.tasks, pair.attacks
    assert table.column("attack/pgd/accuracy_under_attack")["kd"].notes == (1,)
    assert attack.column("attack/pgd/success_rate")["kd"].notes == ()
    text = to_markdown(report)
    assert "10.0 ± 0.0 <sup>1</sup>" in text and "1. zero-gradients (kd, p)" in text


def test_who_gives_one_answer_to_everything_is_pointed_out(world: World) -> None:
    """Nothing breaks it, and that says nothing; one note for all such methods of a task."""
    n = 200
    always_zero = np.arange(n) % 2 == 0
    for method, right in (("lazy", always_zero), ("slack", always_zero), ("good", np.arange(n) < 190)):
        world.student(method, 1, right)
        table = pd.DataFrame({"id": np.arange(n), "outcome": np.where(right, "failed", "skipped"), "queries": 9})
        metrics = {"accuracy_under_attack": float(right.mean()), "clean_accuracy": float(right.mean())}
        world.add(method, 1, "attack", "a", metrics, examples=table)
    report = build_report(world.store, world.manifest())
    (note,) = report.footnotes
    assert note.startswith("predictions on t tell nothing of the labels, as far as 200 examples show (p): lazy 50.0%, ")
    assert "slack 50.0% right, always giving the commonest label would be 50.0%" in note
    for key in ("in_domain", "attack"):
        assert {name: cell.notes for name, cell in report.pairs[0].summary.column(key).items()} == {
            "lazy": (1,), "slack": (1,), "good": (),
        }  # fmt: skip


def test_what_counts_is_whether_predictions_go_with_labels(world: World) -> None:
    """80 % right is nothing where all answers are alike; 75 % is something where they follow the label."""
    labels = (np.arange(200) < 160).astype(int)
    follows = np.where(np.arange(200) % 4 == 0, 1 - labels, labels)
    for method, predictions in (("kd", np.ones(200, int)), ("annealing", follows)):
        table = outcomes(np.ones(200, bool)).assign(label=labels, prediction=predictions)
        metrics = {"accuracy": float(np.mean(predictions == labels))}
        world.add(method, 1, "in_domain", "t", metrics, examples=table)
    (note,) = build_report(world.store, world.manifest()).footnotes
    assert "(p): kd 80.0% right, always giving the commonest label would be 80.0%" in note


def test_scores_are_judged_by_their_correlation(world: World) -> None:
    """Of 100 examples a correlation of 0.1 is nothing, one of 0.9 is something."""
    world.metrics["t"] = ["pearson"]
    labels = np.linspace(0, 5, 100)
    noise = np.random.default_rng(0).normal(size=100)
    for method, predictions in (("kd", noise), ("annealing", labels + noise)):
        table = pd.DataFrame({"id": np.arange(100).astype(str), "label": labels, "prediction": predictions})
        world.add(method, 1, "in_domain", "t", {"pearson": 0.0}, examples=table)
    (note,) = build_report(world.store, world.manifest(kinds={"t": "text-regression"})).footnotes
    assert note.startswith("predictions on t tell nothing of the labels, as far as 100 examples show (p): correlation")
    assert "kd" in note and "annealing" not in note
