"""A suite of questions from the command line: run, report, run again, killed and gone on."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kdbench.answers.metrics import exact_match, token_f1
from kdbench.checks.training import QUESTIONS
from kdbench.store import Store
from tests.conftest import contents, kdbench
from tests.engines.processes import checkpointed_student, gone, start, wait_for, workers_of

SUITE = f"""
name: questions
tasks:
  - name: towns
    kind: question-answering
    source: {{files: {{train: {QUESTIONS}, test: {QUESTIONS}}}}}
    splits: {{train: train, evaluation: test}}
    columns: {{text: question, text_pair: context, label: answers}}
    metrics: [token_f1, exact_match, hasans_token_f1, noans_exact_match]
    selection: {{metric: token_f1}}
    max_length: 64
    chance_margin: -1
    spans: {{stride: 8, max_question: 24, max_answer: 12, n_best: 5, unanswerable: true}}
    ood:
      - name: shifted
        source: {{files: {{test: {QUESTIONS}}}}}
        split: test
        columns: {{text: question, text_pair: context, label: answers}}
pairs: [tiny-l4-l2]
methods: [kd, annealing]
seeds: [1]
budget: quick
budgets:
  quick: {{epochs: 40, teacher_epochs: 40, checkpoints: 2, batch_size: 8, learning_rate: 5.0e-3,
          teacher_learning_rate: 5.0e-3, precision: fp32}}
evaluations:
  attack: {{attacks: [question-characters], examples: 8, query_budget: 40}}
  transfer: true
  trajectory: true
"""
RUN = ("run", "--suite", "./questions.yaml", "--jobs", 1)
METHODS = ("finetune", "kd", "annealing")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an uninterrupted run by one worker, and its report."""
    folder = tmp_path_factory.mktemp("questions")
    (folder / "questions.yaml").write_text(SUITE, encoding="utf-8")
    kdbench(*RUN, cwd=folder)
    kdbench("report", "--suite", "questions", cwd=folder)
    return folder


def _values(folder: Path) -> dict[tuple[str, str, str, str], float]:
    """(method, evaluation, set or attack, metric) -> mean."""
    text = (folder / "leaderboards/questions/results.csv").read_text(encoding="utf-8").splitlines()
    rows = [row for row in csv.DictReader(text) if row["mean"]]
    return {(r["method"], r["evaluation"], r["dataset"], r["metric"]): float(r["mean"]) for r in rows}


def _cells(folder: Path, evaluation: str) -> list[tuple[Any, pd.DataFrame]]:
    """Records and outcomes of one evaluation."""
    store = Store(folder / ".kdbench/store")
    records = [store.record(path.parent.name) for path in sorted(store.root.glob("cells/*/*/record.json"))]
    return [
        (record, pd.read_parquet(store.cell(record.key) / "examples.parquet"))
        for record in records
        if record is not None and record.spec.get("evaluation") == evaluation
    ]


def test_metrics_are_those_of_the_kept_answers(finished: Path) -> None:
    """Recomputed from predicted texts and references, with and without an answer."""
    rows = pd.read_json(QUESTIONS, lines=True)
    references = [tuple(answer["text"]) for answer in rows["answers"]]
    answerable = np.array([bool(texts) for texts in references])
    cells = _cells(finished, "in_domain")
    assert len(cells) == 1 + len(METHODS)
    for record, table in cells:
        exact = np.array([exact_match(p, r) for p, r in zip(table["prediction"], references, strict=True)])
        f1 = np.array([token_f1(p, r) for p, r in zip(table["prediction"], references, strict=True)])
        assert record.metrics["token_f1"] == pytest.approx(f1.mean())
        assert record.metrics["exact_match"] == pytest.approx(exact.mean())
        assert record.metrics["hasans_token_f1"] == pytest.approx(f1[answerable].mean())
        assert record.metrics["noans_exact_match"] == pytest.approx(exact[~answerable].mean())
        assert table["label"].astype(bool).tolist() == answerable.tolist()
        for row, context in zip(table.itertuples(), rows["context"], strict=True):
            assert row.prediction == (context[row.start : row.end] if row.start >= 0 else "")
        assert [best[0] for best in table["nbest"]] == table["prediction"].tolist()
        assert table["confidence"].between(0, 1).all()


def test_readers_learn_and_are_attacked(finished: Path) -> None:
    """Every column of the leaderboard is there; the attack only ever lowers F1."""
    found = _values(finished)
    for method in ("teacher", *METHODS):
        assert found[method, "in_domain", "towns", "token_f1"] > 0.4
        assert found[method, "ood", "shifted", "token_f1"] == found[method, "in_domain", "towns", "token_f1"]
        under, clean = (found[method, "attack", "question-characters", m] for m in ("f1_under_attack", "clean_f1"))
        assert under <= clean
    for method in METHODS:
        assert 0 <= found[method, "transfer", "question-characters", "f1_under_transfer"] <= 1
        assert (
            0 <= found[method, "fidelity", "towns", "agreement"] <= found[method, "fidelity", "towns", "overlap"] <= 1
        )
        assert found[method, "fidelity", "towns", "kl"] > 0
        assert 0 <= found[method, "calibration", "towns", "ece"] <= 1
    table = pd.read_csv(finished / "leaderboards/questions/leaderboard.csv", index_col="method")
    columns = ["in_domain", "ood", "attack", "transfer", "agreement", "ece"]
    assert table.loc[list(METHODS), columns].notna().all(axis=None)
    page = (finished / "leaderboards/questions/leaderboard.md").read_text(encoding="utf-8")
    assert "hasans_token_f1" in page and "question-characters exact match" in page and "Of answers: token F1" in page


def test_fidelity_and_calibration_by_hand(finished: Path) -> None:
    """From the tables that in-domain evaluations kept: the same span, and the same event."""
    store = Store(finished / ".kdbench/store")
    for record, table in _cells(finished, "fidelity"):
        student, teacher = (
            pd.read_parquet(store.cell(record.spec["upstream"][role]) / "examples.parquet")
            for role in ("model", "teacher")
        )
        same = (student["start"] == teacher["start"]) & (student["end"] == teacher["end"])
        assert table["agree"].tolist() == same.tolist()
        overlap = [
            token_f1(p, (r,) if r else ()) for p, r in zip(student["prediction"], teacher["prediction"], strict=True)
        ]
        assert table["overlap"].tolist() == pytest.approx(overlap)
    for record, table in _cells(finished, "calibration"):
        source = pd.read_parquet(store.cell(record.spec["upstream"]["model"]) / "examples.parquet")
        gap = (source["confidence"] - source["exact_match"]) ** 2
        assert record.metrics["brier"] == pytest.approx(gap.mean()) and "nll" not in record.metrics
        assert table["correct"].tolist() == (source["exact_match"] == 1).tolist()


def test_what_transfers_is_what_was_found_on_the_teacher(finished: Path) -> None:
    """The teacher's own attack gives the questions; unanswerable ones are never among them."""
    rows = pd.read_json(QUESTIONS, lines=True)
    with_answer = {row.question for row in rows.itertuples() if row.answers["text"]}
    attacks = {record.key: table for record, table in _cells(finished, "attack")}
    assert all(set(table["original"]) <= with_answer and len(table) == 8 for table in attacks.values())
    for record, table in _cells(finished, "transfer"):
        source = attacks[record.spec["upstream"]["source"]]
        assert table["source"].tolist() == source["outcome"].tolist()
        assert table["id"].tolist() == source["id"].tolist()


def test_the_trajectory_ends_where_the_teacher_does(finished: Path) -> None:
    """One of its checkpoints is the teacher that was evaluated."""
    ((record, table),) = _cells(finished, "trajectory")
    scores = [entry["score"] for entry in record.details["checkpoints"]]
    assert len(scores) == 2 and set(table.columns) == {"id", "label", "prediction_0", "prediction_1"}
    own = _values(finished)["teacher", "in_domain", "towns", "token_f1"]
    assert any(score == pytest.approx(own) for score in scores)


def test_a_finished_suite_computes_nothing(finished: Path) -> None:
    """The second run finds everything."""
    before = contents(finished / ".kdbench/store")
    output = kdbench(*RUN, cwd=finished).stdout
    assert "started" not in output and contents(finished / ".kdbench/store") == before


def test_a_killed_run_resumes_to_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    """Killed within a student's training; the features are found in the cache or made again, alike."""
    shutil.copy(finished / "questions.yaml", tmp_path)
    store = tmp_path / ".kdbench/store"
    run = start(tmp_path, *RUN)
    wait_for(lambda: checkpointed_student(store))
    workers = workers_of(run.pid)
    run.kill()
    run.wait()
    wait_for(lambda: gone(workers), 20)
    assert workers, "the run had a worker when it was killed"
    shutil.rmtree(store / "cache", ignore_errors=True)
    kdbench("run", "--suite", "./questions.yaml", "--jobs", 2, cwd=tmp_path)
    assert contents(store) == contents(finished / ".kdbench/store")
