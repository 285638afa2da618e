"""The whole chain on real models and real text, small: train, distil, shift, attack, report."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.conftest import kdbench

SUITE = """
name: real
tasks: [{task}]
pairs: [minilm-l6-l3]
methods: [kd]
seeds: [1]
budget: small
budgets:
  small: {{epochs: 2, teacher_epochs: 2, learning_rate: 2.0e-4, teacher_learning_rate: 2.0e-4, max_train: 384,
          max_evaluation: 150, attack_examples: 4, precision: fp32}}
evaluations:
  attack: {{attacks: [deepwordbug, pwws], query_budget: 150}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on movie snippets, which the package index carries."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "real.yaml").write_text(SUITE.format(task="movie-snippets"), encoding="utf-8")
    kdbench("run", "--suite", "./real.yaml", cwd=folder)
    kdbench("report", "--suite", "real", cwd=folder)
    return folder


def values(folder: Path) -> dict[tuple[str, str, str], float]:
    """(method, set or attack, metric) -> mean."""
    text = (folder / "leaderboards/real/results.csv").read_text(encoding="utf-8").splitlines()
    rows = [row for row in csv.DictReader(text) if row["mean"]]
    return {(row["method"], row["dataset"], row["metric"]): float(row["mean"]) for row in rows}


def test_everyone_learns_and_shifts_and_falls(folder: Path) -> None:
    found = values(folder)
    for method in ("teacher", "finetune", "kd"):
        clean = found[method, "movie-snippets", "accuracy"]
        assert clean > 0.58, f"{method} has learnt from 384 examples"
        for attack in ("deepwordbug", "pwws"):
            assert found[method, attack, "accuracy_under_attack"] <= found[method, attack, "clean_accuracy"]
    assert found["teacher", "pwws", "accuracy_under_attack"] < found["teacher", "pwws", "clean_accuracy"]
    assert all(found["teacher", domain, "accuracy"] > 0.5 for domain in ("amazon", "nyt", "tweets"))
    assert found["kd", "movie-snippets", "agreement"] > 0.6
    assert found["kd", "movie-snippets", "parameters"] < found["teacher", "movie-snippets", "parameters"]
    assert found["kd", "movie-snippets", "flops"] == pytest.approx(
        found["teacher", "movie-snippets", "flops"] / 2, rel=0.02
    )


def test_every_model_was_attacked_on_the_same_examples(folder: Path) -> None:
    tables = [
        pd.read_parquet(path)
        for path in folder.glob(".kdbench/store/cells/*/*/examples.parquet")
        if "queries" in pd.read_parquet(path).columns
    ]
    assert len(tables) == 2 * 3
    assert len({tuple(table["id"]) for table in tables}) == 1
    assert all((table["queries"] <= 150).all() for table in tables)


def test_every_score_can_be_computed_again_from_the_examples(folder: Path) -> None:
    found = values(folder)
    accuracies = sorted(value for (_, _, metric), value in found.items() if metric == "accuracy")
    again = []
    for path in folder.glob(".kdbench/store/cells/*/*/examples.parquet"):
        table = pd.read_parquet(path)
        if "prediction" in table:
            again.append((table["prediction"] == table["label"]).mean())
    assert sorted(again) == pytest.approx(accuracies, abs=1e-6)


def test_glue_from_a_mirror(mirror: Path, tmp_path: Path) -> None:
    suite = (
        SUITE.format(task="mrpc")
        .replace("attack: {", "ood: false\n  attack: {")
        .replace("max_train: 384", "max_train: 64")
    )
    (tmp_path / "real.yaml").write_text(suite, encoding="utf-8")
    kdbench("run", "--suite", "./real.yaml", "--methods", "takd", "--data", mirror, "--offline", cwd=tmp_path)
    kdbench("report", "--suite", "real", cwd=tmp_path)
    found = values(tmp_path)
    assert 0 < found["takd", "mrpc", "f1"] <= 1 and 0 < found["takd", "mrpc", "accuracy"] <= 1
    text = (tmp_path / "leaderboards/real/leaderboard.md").read_text(encoding="utf-8")
    assert "assistants" in text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_suite_runs_on_a_gpu(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text(SUITE.format(task="movie-snippets"), encoding="utf-8")
    kdbench("run", "--suite", "./real.yaml", "--device", "cuda", cwd=tmp_path)
    kdbench("report", "--suite", "real", cwd=tmp_path)
    assert values(tmp_path)["kd", "movie-snippets", "accuracy"] > 0.62
