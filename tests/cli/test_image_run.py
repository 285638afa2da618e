"""A suite of handwritten digits from the command line: run, report, run again, killed and gone on."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kdbench.store import Store
from tests.conftest import contents, kdbench
from tests.engines.processes import checkpointed_student, gone, start, wait_for, workers_of

SUITE = """
name: digits
tasks:
  - name: optdigits
    kind: image-classification
    source: {pypi: scikit-learn, config: digits}
    splits: {train: test, evaluation: test}
    columns: {image: image}
    labels: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    image: {size: 8, channels: 1, mean: [0.3], std: [0.37], crop: 1}
    ood: []
pairs:
  - name: small
    kind: image
    teacher: {name: wide, source: {net: {family: resnet, depth: 8, base: 16}}}
    student: {name: narrow, source: {net: {family: resnet, depth: 8, base: 8}}}
methods: [kd, crd, rslad]
seeds: [1]
budget: quick
budgets:
  quick:
    epochs: 6
    teacher_epochs: 6
    precision: fp32
    max_train: 640
    max_evaluation: 300
    images: {batch_size: 32, optimizer: sgd, schedule: cosine, learning_rate: 0.1, teacher_learning_rate: 0.1,
             weight_decay: 5.0e-4, clip_norm: 5.0, checkpoints: 2}
evaluations:
  attack:
    examples: 100
    attacks:
      - {name: fgsm, kind: image, norm: Linf, epsilon: 0.05, members: [{algorithm: fgsm}]}
  transfer: true
  trajectory: true
"""
RUN = ("run", "--suite", "./digits.yaml", "--set", "rslad.steps=2", "--set", "crd.negatives=64", "--jobs", 1)
METHODS = ("finetune", "kd", "crd", "rslad")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an uninterrupted run by one worker, and its report."""
    folder = tmp_path_factory.mktemp("digits")
    (folder / "digits.yaml").write_text(SUITE, encoding="utf-8")
    kdbench(*RUN, cwd=folder)
    kdbench("report", "--suite", "digits", cwd=folder)
    return folder


def _values(folder: Path) -> dict[tuple[str, str, str], float]:
    """(method, set or attack, metric) -> mean."""
    text = (folder / "leaderboards/digits/results.csv").read_text(encoding="utf-8").splitlines()
    rows = [row for row in csv.DictReader(text) if row["mean"]]
    return {(row["method"], row["dataset"], row["metric"]): float(row["mean"]) for row in rows}


def _records(folder: Path, **wanted: str) -> list[Any]:
    """Records of the cells whose specs say so."""
    store = Store(folder / ".kdbench/store")
    found = [store.record(path.parent.name) for path in sorted(store.root.glob("cells/*/*/record.json"))]
    return [r for r in found if r is not None and all(r.spec.get(key) == value for key, value in wanted.items())]


def test_everyone_learns_the_digits_and_falls_to_the_attack(finished: Path) -> None:
    """Six epochs are enough for a small network; every column of the leaderboard is there."""
    found = _values(finished)
    for method in ("teacher", *METHODS):
        assert found[method, "optdigits", "accuracy"] > 0.85
        assert found[method, "fgsm", "accuracy_under_attack"] < found[method, "fgsm", "clean_accuracy"]
    for method in METHODS:
        assert found[method, "optdigits", "agreement"] > 0.8
        assert 0 <= found[method, "fgsm", "accuracy_under_transfer"] <= 1
        assert found[method, "optdigits", "parameters"] < found["teacher", "optdigits", "parameters"]
    table = pd.read_csv(finished / "leaderboards/digits/leaderboard.csv", index_col="method")
    assert set(table.index) == {"teacher", *METHODS} and table["in_domain"].notna().all()


def test_a_robust_method_is_more_robust(finished: Path) -> None:
    """RSLAD trains on attacked images; the others have never seen one."""
    found = _values(finished)
    assert found["rslad", "fgsm", "accuracy_under_attack"] > found["kd", "fgsm", "accuracy_under_attack"]


def test_teachers_leave_as_many_checkpoints_as_the_budget_says(finished: Path) -> None:
    """And their scores on the reported split are those that the trajectory evaluation found."""
    (teacher,) = _records(finished, kind="teacher")
    folder = Store(finished / ".kdbench/store").cell(teacher.key)
    trajectory = json.loads((folder / "trajectory.json").read_text(encoding="utf-8"))
    assert [entry["epoch"] for entry in trajectory] == [3, 6]
    (measured,) = _records(finished, evaluation="trajectory")
    scores = [entry["score"] for entry in measured.details["checkpoints"]]
    (own,) = [r for r in _records(finished, evaluation="in_domain") if r.spec["upstream"]["model"] == teacher.key]
    assert own.metrics["accuracy"] == scores[teacher.details["best_checkpoint"]]


def test_what_a_training_cost_is_in_its_record(finished: Path) -> None:
    """Cached answers where one teacher teaches whole epochs, live ones for features."""
    costs = {record.spec["method"][0]["name"]: record.cost for record in _records(finished, kind="student")}
    updates = costs["finetune"]["student_updates"]
    (teacher,) = _records(finished, kind="teacher")
    assert {cost["student_updates"] for cost in costs.values()} == {updates}
    assert costs["kd"]["live_teacher_updates"] == 0
    assert costs["kd"]["cached_teacher_examples"] == 6 * teacher.details["train_examples"]
    assert (costs["crd"]["live_teacher_updates"], costs["crd"]["cached_teacher_examples"]) == (updates, 0)


def test_a_finished_suite_computes_nothing(finished: Path) -> None:
    """The second run finds everything."""
    before = contents(finished / ".kdbench/store")
    output = kdbench(*RUN, cwd=finished).stdout
    assert "started" not in output and contents(finished / ".kdbench/store") == before


def test_a_killed_run_resumes_to_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    """Killed within a student's training."""
    shutil.copy(finished / "digits.yaml", tmp_path)
    store = tmp_path / ".kdbench/store"
    run = start(tmp_path, *RUN)
    wait_for(lambda: checkpointed_student(store))
    workers = workers_of(run.pid)
    run.kill()
    run.wait()
    assert workers, "the run had a worker when it was killed"
    wait_for(lambda: gone(workers), 20)
    kdbench(*RUN, cwd=tmp_path)
    assert contents(store) == contents(finished / ".kdbench/store")
