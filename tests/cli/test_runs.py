"""Commands around real (tiny) runs: plan, dry run, fetch, offline, report, and runs that fail."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest

from kdbench.store import Store
from tests.cli.conftest import Cli
from tests.cli.distributions import write_distribution
from tests.conftest import SENTENCES, kdbench, write_suite

HUB_SUITE = """
name: moods
tasks:
  - name: moods
    source: {hub: acme/moods, config: plain}
    splits: {train: train, evaluation: test}
    columns: {text: text}
    labels: [negative, positive]
    chance_margin: -1
    ood:
      - {name: far, source: {hub: acme/far}, split: test, columns: {text: text}}
      - {name: "private", source: {mirror: "acme/[b]private"}, split: test, columns: {text: text}}
pairs: [tiny-l4-l2]
methods: [kd]
seeds: [1]
budget: quick
budgets:
  quick: {epochs: 1, teacher_epochs: 1, batch_size: 16, precision: fp32}
  other: {epochs: 2, teacher_epochs: 1, batch_size: 16, precision: fp32}
"""
SPLITS = ("acme/moods/plain/train", "acme/moods/plain/test", "acme/far/default/test")


def _write_mirror(folder: Path, splits: Iterable[str]) -> None:
    for number, split in enumerate(splits):
        path = folder / f"{split}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.read_json(SENTENCES, lines=True).iloc[number:].to_parquet(path)


def _planned(cli: Cli, *options: object) -> dict[str, tuple[int, int, int]]:
    """Cells, done and failed by kind, as ``plan --json`` has them."""
    kinds = json.loads(cli("plan", "--suite", "./moods.yaml", "--json", *options).out)["cells"]
    return {kind: (count["cells"], count["done"], count["failed"]) for kind, count in kinds.items()}


def test_fetch_then_run_offline(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror is fetched into another; the copy has everything, and the same keys as the original.

    A broken package that offers methods is installed all the while, and in nobody's way.
    """
    (tmp_path / "moods.yaml").write_text(HUB_SUITE, encoding="utf-8")
    suite = ("--suite", "./moods.yaml")
    fetch = ("fetch", *suite, "--to", "my kit", "--data", "mirror", "--offline")
    _write_mirror(tmp_path / "mirror", SPLITS)

    fetched = cli(*fetch)
    assert fetched.code == 1
    lines = fetched.out.splitlines()
    assert lines[:3] == [f"fetched  dataset {split}" for split in SPLITS]
    assert lines[3].startswith("missing  dataset acme/[b]private/default/test: ")
    assert lines[4] == "use it with: kdbench run --suite ./moods.yaml --data 'my kit/data' --models 'my kit/models'"
    assert lines[5].startswith("1 could not be had: --offline would stop at that")
    for file in (f"{split}.parquet" for split in SPLITS):
        assert (tmp_path / "my kit/data" / file).read_bytes() == (tmp_path / "mirror" / file).read_bytes()

    copied = ("--data", "my kit/data", "--models", "my kit/models")
    refused = cli("run", *suite, *copied, "--offline")
    assert refused.code == 2
    assert refused.err.splitlines()[1:-1] == ["  - acme/[b]private/default/test: not in a mirror (--data DIR)"]
    shown = cli("plan", *suite, *copied).out
    assert "not here: moods ood private: acme/[b]private/default/test: not in a mirror (--data DIR)" in shown
    _write_mirror(tmp_path / "mirror", ["acme/[b]private/default/test"])
    lines = cli(*fetch).out.splitlines()
    assert lines[:3] == [f"there    dataset {split}" for split in SPLITS]
    assert lines[3] == "fetched  dataset acme/[b]private/default/test"
    assert lines[4].endswith("--models 'my kit/models' --offline")

    before = {"teacher": (1, 0, 0), "student": (2, 0, 0), "evaluation": (17, 0, 0)}
    assert _planned(cli, *copied) == before
    dry = cli("run", *suite, *copied, "--offline", "--dry-run").out
    assert "moods, budget quick" in dry and "time left: unknown" in dry
    assert not (tmp_path / ".kdbench").exists(), "nothing but fetch has written yet"

    write_distribution(tmp_path / "site", "bad-kd", "0.1", {"bad-kd": "no_such_module:Method"})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    output = kdbench("run", *suite, *copied, "--offline", "--jobs", 1, cwd=tmp_path).stdout
    assert "20 cells finished, 0 were done before, 0 failed, 0 wait for a failed one" in output
    after = {"teacher": (1, 1, 0), "student": (2, 2, 0), "evaluation": (17, 17, 0)}
    assert _planned(cli, *copied) == after
    assert _planned(cli, "--data", "mirror") == after, "the original has the same keys as its copy"
    assert _planned(cli, *copied, "--budget", "other")["student"] == (2, 0, 0)
    assert _planned(cli, *copied, "--methods", "annealing")["student"] == (2, 1, 0), "finetune is shared"

    reported = cli("report", *suite).out
    assert "│finetune" in reported and "written to leaderboards/moods: leaderboard.md" in reported
    rows = pd.read_csv(tmp_path / "leaderboards/moods/results.csv")
    assert set(rows["dataset"]) == {"moods", "far", "private"} and set(rows["status"]) == {"ok"}
    assert cli("report", "--suite", "moods", "--out", "other").out.startswith("moods · tiny-l4-l2")
    for name in ("leaderboard.md", "leaderboard.csv", "results.csv"):
        assert (tmp_path / "other/moods" / name).read_bytes() == (tmp_path / "leaderboards/moods" / name).read_bytes()


def test_reports_on_nothing(cli: Cli, tmp_path: Path) -> None:
    """An empty or missing store, another suite, budget or version: what there is, and what to do."""
    (tmp_path / "empty").mkdir()
    for store in ("none", "empty"):
        result = cli("report", "--suite", "tiny", "--store", store)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith(f"error: {store}: holds no run of suite tiny (it holds nothing); run it first")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"] and not list((tmp_path / "empty").iterdir())
    write_suite(tmp_path / "named-otherwise.yaml")
    assert "holds no run of suite tiny" in cli("report", "--suite", "named-otherwise.yaml").err


FAILING_SUITE = """
name: failing
tasks:
  - name: columns
    source: &files {{files: {{train: {data}, validation: {data}}}}}
    columns: {{text: sentence, label: stars}}
    labels: [negative, positive]
  - name: chance
    source: *files
    columns: {{text: text}}
    labels: [negative, positive]
    chance_margin: 0.5
  - name: labels
    source: *files
    columns: {{text: text, label: score}}
    labels: [negative, positive]
  - name: mapped
    source: *files
    columns: {{text: text}}
    labels: [negative, positive]
    label_map: {{'no': negative, 'yes': positive}}
pairs: [tiny-l4-l2]
methods: [kd]
seeds: [1]
budget: quick
budgets: {{quick: {{epochs: 1, teacher_epochs: 1, batch_size: 16, precision: fp32}}}}
"""


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the failing suite was run, and what that printed."""
    folder = tmp_path_factory.mktemp("failing")
    (folder / "failing.yaml").write_text(FAILING_SUITE.format(data=SENTENCES), encoding="utf-8")
    return folder, kdbench("run", "--suite", "failing.yaml", "--jobs", 1, cwd=folder, check=1).stdout


def test_data_that_is_not_what_the_task_says(failing: tuple[Path, str], cli: Cli) -> None:
    """Missing columns, unknown labels, a map that keeps nothing, a teacher no better than chance.

    Each fails its own cells with a message that names the file or the task; the rest goes on.
    """
    folder, output = failing
    expected = {
        "columns": f"{SENTENCES}: has no column sentence, stars; it has text, label, score: set 'columns' of the task",
        "labels": f"{SENTENCES}: label 2 is neither a class (negative, positive) nor its index: set 'label_map'",
        "mapped": f"{SENTENCES}: no row is left after mapping labels; look at 'label_map'",
        "chance": "on the selection split is below chance + margin (0.500 + 0.500): check label_map and columns",
    }
    for task, message in expected.items():
        (line,) = [one for one in output.splitlines() if one.startswith(f"failed: teacher tiny-l4 on {task}: ")]
        assert message in line
    assert "Traceback" not in output
    assert "failed: finetune tiny-l2 on columns seed 1: " in output
    assert "failed: finetune tiny-l2 on chance" not in output, "students without a teacher do not need one"
    assert "failed: kd" not in output, "what waits for a failed cell has not failed itself"
    store = Store(folder / ".kdbench/store")
    failures = [store.failure(path.stem) for path in (store.root / "failed").glob("*.json")]
    assert sorted(one.error for one in failures if one) == ["DataError"] * 6 + ["LabelMapError"]
    planned = json.loads(cli("plan", "--suite", folder / "failing.yaml", "--store", store.root, "--json").out)["cells"]
    assert planned["teacher"] == {"cells": 4, "done": 0, "failed": 4}
    assert planned["student"] == {"cells": 8, "done": 1, "failed": 3}
    reported = cli("report", "--suite", "failing", "--store", store.root).out
    assert "failed: teacher on columns, tiny-l4-l2, seed 0, training: " in reported


def test_failed_tasks_are_not_averaged_away(failing: tuple[Path, str], cli: Cli, tmp_path: Path) -> None:
    """Three of finetune's four tasks have no number, so their mean has none."""
    folder, _ = failing
    cli("report", "--suite", "failing", "--store", folder / ".kdbench/store")
    table = pd.read_csv(tmp_path / "leaderboards/failing/leaderboard.csv", index_col="method")
    assert pd.isna(table.loc["finetune", "in_domain"])
