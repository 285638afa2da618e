"""``kdbench attack`` on models that were trained here: foreign ones, kdbench's own, and those it must refuse."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from kdbench.models.convnet import ConvNet
from tests.cli.conftest import Cli
from tests.conftest import kdbench, write_suite
from tests.victims import saved

HELD = ("failed", "exhausted")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saved models, and the tasks they are for."""
    folder = tmp_path_factory.mktemp("models")
    saved.save_classifier(folder / "plain", ["negative", "positive"])
    saved.save_classifier(folder / "swapped", ["POS", "Neg"], swapped=True)
    saved.save_classifier(folder / "unnamed", None, swapped=True)
    for name, text in (("moods", saved.MOODS), ("towns", saved.TOWNS)):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    saved.write_digits(folder)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def quiet(cli: Cli, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of our own, and one thread: several wait for each other on models this small."""
    monkeypatch.setenv("KDBENCH_CACHE", str(cache))
    before = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    signal.signal(signal.SIGTERM, before[1])
    torch.use_deterministic_algorithms(False)


def _moods(models: Path, name: str, *more: object) -> tuple[object, ...]:
    return ("attack", "--model", models / name, "--task", models / "moods.yaml", *more)


def _summary(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return content


def test_the_order_of_a_models_classes_does_not_matter(cli: Cli, models: Path) -> None:
    """The same weights with their outputs the other way round, under other names: the same outcomes."""
    for name in ("plain", "swapped"):
        result = cli(*_moods(models, name, "--attack", "deepwordbug", "--examples", 20, "--out", name))
        assert result.code == 0 and "warning" not in result.err
    plain, swapped = (pd.read_parquet(f"{name}/deepwordbug.parquet") for name in ("plain", "swapped"))
    pd.testing.assert_frame_equal(plain, swapped)
    assert (plain["outcome"] == "success").sum() > 3 and len(plain) == 20
    sentences = pd.read_json(saved.SENTENCES, lines=True).set_index("text")["label"].to_dict()
    assert plain["label"].tolist() == [sentences[text] for text in plain["original"]]
    right = plain["outcome"] != "skipped"
    assert (plain["predicted"] == plain["label"])[right].all() and right.mean() > 0.8
    assert _summary(Path("plain"))["settings"]["outputs"] == ["negative", "positive"]
    assert _summary(Path("swapped"))["settings"]["outputs"] == ["positive", "negative"]


def test_summary_is_what_the_table_says(cli: Cli, models: Path) -> None:
    """Counts, shares and the interval, recomputed; printed and as JSON."""
    line = _moods(models, "plain", "--attack", "deepwordbug", "--examples", 20, "--query-budget", 12, "--out", "here")
    shown = cli(*line).out
    table = pd.read_parquet("here/deepwordbug.parquet")
    entry = json.loads(cli(*line, "--json", "--show", 2).out)["attacks"]["deepwordbug"]
    counts = table["outcome"].value_counts().to_dict()
    assert {name: count for name, count in entry["counts"].items() if count} == counts
    assert entry["counts"]["exhausted"] > 0, "twelve queries are few"
    held = table["outcome"].isin(HELD).mean()
    assert entry["metrics"]["accuracy_under_attack"] == pytest.approx(held)
    low, high = entry["interval"]
    z, n = 1.959964, len(table)
    for bound in (low, high):  # Wilson: where the normal test of this very proportion just rejects
        assert abs(held - bound) == pytest.approx(z * np.sqrt(bound * (1 - bound) / n), abs=1e-6)
    assert f"{100 * held:.1f} [{100 * low:.1f}, {100 * high:.1f}] %" in shown
    assert entry["version"] in shown and entry["version"].startswith("deepwordbug/")
    successes = table[table["outcome"] == "success"]
    assert [pair["perturbed"] for pair in entry["pairs"]] == successes["perturbed"].head(2).tolist()


def test_unnamed_classes_are_doubted_and_can_be_named(cli: Cli, models: Path) -> None:
    """Taken in the task's order they are wrong here, which the accuracy gives away."""
    line = _moods(models, "unnamed", "--attack", "deepwordbug", "--examples", 20)
    doubted = cli(*line)
    assert doubted.code == 0 and "the classes have no names" in doubted.err
    assert "is not better than guessing (50.0%)" in doubted.err
    named = cli(*line, "--labels", "positive,negative", "--out", "named")
    assert named.code == 0 and "warning" not in named.err
    cli(*_moods(models, "plain", "--attack", "deepwordbug", "--examples", 20, "--out", "plain"))
    tables = [pd.read_parquet(f"{name}/deepwordbug.parquet") for name in ("named", "plain")]
    pd.testing.assert_frame_equal(*tables)


def test_finished_attacks_are_not_repeated(cli: Cli, models: Path) -> None:
    """The same command adds what is missing; other settings do not mix."""
    line = _moods(models, "plain", "--examples", 4, "--query-budget", 60, "--out", "here", "--attack", "deepwordbug")
    cli(*line)
    before = Path("here/deepwordbug.parquet").stat().st_mtime_ns
    more = cli(*line, "--attack", "pruthi")
    assert "deepwordbug: was done before" in more.err and "pruthi: was done" not in more.err
    assert Path("here/deepwordbug.parquet").stat().st_mtime_ns == before
    assert list(_summary(Path("here"))["attacks"]) == ["deepwordbug", "pruthi"]
    assert "deepwordbug" in more.out and "pruthi" in more.out
    for change, complaint in (
        (("--seed", 1), "here: holds attacks with seed 0, not 1"),
        (("--query-budget", 9), "here: holds deepwordbug as deepwordbug/"),
        (("--labels", "positive,negative"), "here: holds attacks with outputs"),
    ):
        result = cli(*line, *change)
        assert result.code == 2 and complaint in result.err and result.err.endswith("choose another --out\n")
    Path("here/pruthi.parquet").write_bytes(b"half a fi")
    again = cli(*line, "--attack", "pruthi")
    assert "pruthi: started" in again.err and len(pd.read_parquet("here/pruthi.parquet")) == 4
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("keep me")
    assert "mine: holds other files" in cli(*line[:-3], "mine", *line[-2:]).err


def test_an_interrupted_command_goes_on(cli: Cli, models: Path) -> None:
    """What was finished stays; nothing of the attack under way is kept."""
    line = _moods(models, "plain", "--examples", 8, "--attack", "deepwordbug", "--attack", "pruthi", "--out", "here")
    line += ("--query-budget", 100)

    def interrupt() -> None:
        end = time.monotonic() + 60
        while not Path("here/summary.json").exists():
            time.sleep(0.005)
            if time.monotonic() > end:
                return
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    stopped = cli(*line)
    watcher.join()
    assert stopped.code == 130 and "finished attacks are in here" in stopped.err
    assert "deepwordbug" in stopped.out and "pruthi" not in stopped.out
    assert list(_summary(Path("here"))["attacks"]) == ["deepwordbug"]
    assert {path.name for path in Path("here").iterdir()} == {".lock", "summary.json", "deepwordbug.parquet"}
    assert "deepwordbug: was done before" in cli(*line).err
    assert set(_summary(Path("here"))["attacks"]) == {"deepwordbug", "pruthi"}


def test_a_folder_that_cannot_be_written_is_said_before_the_attack(cli: Cli, models: Path) -> None:
    Path("file").touch()
    result = cli(*_moods(models, "plain", "--attack", "pruthi", "--examples", 4, "--out", "file/here"))
    assert result.code == 2 and result.err == "error: file/here: cannot be written: Not a directory\n"


def test_changed_texts_are_shown(cli: Cli, models: Path) -> None:
    """Word for word, and only what differs is marked; brackets of a text are no markup."""
    shown = cli(*_moods(models, "plain", "--attack", "deepwordbug", "--examples", 20, "--show", 2, "--out", "here")).out
    table = pd.read_parquet("here/deepwordbug.parquet")
    rows = table[table["outcome"] == "success"].head(2)
    plain = shown.replace("[[", "").replace("]]", "")
    for row in rows.itertuples():
        assert f"  {row.original}\n  {row.perturbed}\n" in plain
        names = ("negative", "positive")
        assert f"{row.id}: {names[row.predicted]} -> {names[row.adversarial]} ({row.queries} queries" in shown
    changed = sum(
        a != b for r in rows.itertuples() for a, b in zip(r.original.split(), r.perturbed.split(), strict=True)
    )
    marked = [part.split("]]")[0] for part in shown.split("[[")[1:]]
    assert sum(len(part.split()) for part in marked) == 2 * changed
    assert shown.count(": positive -> ") + shown.count(": negative -> ") == 2


def test_a_cell_is_attacked_as_its_suite_does_it(cli: Cli, tmp_path: Path) -> None:
    """A student's folder in a store: the same examples, the same outcomes, byte for byte."""
    attack = "attack: {attacks: [deepwordbug], examples: 12, query_budget: 40, seed: 3}"
    others = ("in_domain: false", "ood: false", "fidelity: false", "calibration: null", "efficiency: null")
    write_suite(tmp_path / "tiny.yaml", epochs=1, attack="\n  ".join([attack, *others]))
    kdbench("run", "--suite", "./tiny.yaml", "--methods", "finetune", "--jobs", 1, cwd=tmp_path)
    cells = {
        path.parent: json.loads(path.read_bytes()) for path in tmp_path.glob(".kdbench/store/cells/*/*/record.json")
    }
    student = next(folder for folder, record in cells.items() if record["kind"] == "student")
    own = next(
        folder for folder, record in cells.items()
        if record["spec"].get("evaluation") == "attack" and record["spec"]["upstream"]["model"] == student.name
    )  # fmt: skip
    suite = (tmp_path / "tiny.yaml").read_text(encoding="utf-8").split("tasks:\n  - ")[1].split("\npairs:")[0]
    (tmp_path / "task.yaml").write_text(suite.replace("\n    ", "\n"), encoding="utf-8")
    line = ("attack", "--task", "task.yaml", "--attack", "deepwordbug", "--examples", 12, "--query-budget", 40)
    for folder, out in ((student, "cell"), (student / "model", "model")):
        result = cli(*line, "--seed", 3, "--model", folder, "--out", out, "--store", ".kdbench/store")
        assert result.code == 0, result.err
        assert Path(out, "deepwordbug.parquet").read_bytes() == (own / "examples.parquet").read_bytes()
        assert _summary(Path(out))["attacks"]["deepwordbug"]["metrics"] == cells[own]["metrics"]


def test_readers_are_attacked(cli: Cli, models: Path) -> None:
    """Questions that have an answer, and F1 that only falls."""
    saved.save_reader(models / "reader")
    line = ("attack", "--model", models / "reader", "--task", models / "towns.yaml", "--attack", "question-characters")
    result = cli(*line, "--examples", 20, "--query-budget", 40, "--show", 1, "--out", "here")
    assert result.code == 0, result.err
    table = pd.read_parquet("here/question-characters.parquet")
    questions = pd.read_json(saved.QUESTIONS, lines=True).set_index("question")["answers"]
    assert len(table) == 20 and all(len(questions[[text]].iloc[0]["text"]) for text in table["original"])
    entry = _summary(Path("here"))["attacks"]["question-characters"]
    assert entry["metrics"]["clean_f1"] > 0.5 > entry["metrics"]["f1_under_attack"]
    assert entry["metrics"]["f1_under_attack"] == pytest.approx(table["f1"].mean())
    assert "F1 under attack" in result.out and "[[" in result.out


def test_own_and_foreign_networks_are_attacked(cli: Cli, models: Path) -> None:
    """What is kept of an attack is wrong for the model itself, and lies in the ball."""
    own = saved.save_network(models / "network")
    foreign = saved.save_foreign_network(models / "foreign")
    attack = "{name: one-step, kind: image, norm: Linf, epsilon: 0.15, members: [{algorithm: fgsm}]}"
    Path("one-step.yaml").write_text(attack, encoding="utf-8")
    line = ("attack", "--task", models / "small-digits.yaml", "--attack", "one-step.yaml")
    for folder in (own, foreign):
        result = cli(*line, "--model", folder, "--examples", 30, "--out", folder.name)
        assert result.code == 0, result.err
        assert ("the classes have no names" in result.err) == (folder is own)
        table = pd.read_parquet(f"{folder.name}/one-step.parquet")
        entry = _summary(Path(folder.name))["attacks"]["one-step"]
        assert entry["metrics"]["clean_accuracy"] > 0.7 and entry["counts"]["success"] > 0
        assert "exhausted" not in entry["counts"] and "norm" in result.out
        assert (table["norm"] <= 0.15 + 1e-6).all()
        images = load_file(f"{folder.name}/one-step.safetensors")["images"]
        assert _classes(folder, images) == table["adversarial"].tolist()
        assert ((table["adversarial"] != table["label"]) == (table["outcome"] != "failed")).all()


def _classes(folder: Path, images: torch.Tensor) -> list[int]:
    """What the saved model makes of images, its own preprocessing done by hand."""
    with torch.inference_mode():
        if folder.name == "network":
            return list(ConvNet.from_pretrained(folder).eval()(images).logits.argmax(-1).tolist())
        from transformers import AutoModelForImageClassification

        model = AutoModelForImageClassification.from_pretrained(folder).eval()
        larger = torch.nn.functional.interpolate(images, (16, 16), mode="bilinear")
        return [9 - output for output in model(pixel_values=(larger - 0.3) / 0.4).logits.argmax(-1).tolist()]


def test_an_impossible_attack_hides_no_finished_one(cli: Cli, models: Path) -> None:
    """A recipe that cannot be built fails after the first attack: its numbers are shown, then the error."""
    Path("broken.yaml").write_text("{name: broken, recipe: 'textattack.attack_recipes:NoSuchRecipe'}", encoding="utf-8")
    result = cli(*_moods(models, "plain", "--attack", "pruthi", "--attack", "broken.yaml", "--examples", 4))
    assert result.code == 2 and "pruthi/1+textattack" in result.out
    assert "NoSuchRecipe" in result.err.splitlines()[-1]


def test_an_interrupted_image_attack_goes_on_within(cli: Cli, models: Path) -> None:
    """To the same outcomes; what it kept in between is gone at the end."""
    folder = saved.save_network(models / "network")
    attack = "{name: steps, kind: image, norm: Linf, epsilons: [0.02, 0.04], members: [{algorithm: pgd, steps: 40}]}"
    Path("steps.yaml").write_text(attack, encoding="utf-8")
    line = ("attack", "--task", models / "small-digits.yaml", "--attack", "steps.yaml", "--model", folder)
    whole = cli(*line, "--out", "whole")
    assert whole.code == 0 and "accuracy" in whole.out and "% at 0.04" in whole.out
    unfinished = Path("here/.steps.unfinished.safetensors")

    def interrupt() -> None:
        end = time.monotonic() + 60
        while not unfinished.exists():
            time.sleep(0.001)
            if time.monotonic() > end:
                return
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    stopped = cli(*line, "--out", "here")
    watcher.join()
    assert stopped.code == 130 and [path.name for path in Path("here").iterdir()] == [unfinished.name]
    assert cli(*line, "--out", "here").code == 0 and not unfinished.exists()
    tables = [pd.read_parquet(f"{name}/steps.parquet") for name in ("here", "whole")]
    pd.testing.assert_frame_equal(*tables)
    curve = _summary(Path("here"))["attacks"]["steps"]["details"]["security_curve"]
    broken_at = tables[0]["broken_at"]
    assert curve == [[radius, (broken_at > radius).mean()] for radius in (0.0, 0.02, 0.04)]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (("--task", "mods", "--attack", "pruthi"), "error: unknown task 'mods'"),
        (("--task", "none.yaml", "--attack", "pruthi"), "error: none.yaml: cannot be read: No such file"),
        (("--task", "sst2", "--attack", "prutti"), "error: unknown attack 'prutti': did you mean pruthi?"),
        (("--task", "stsb", "--attack", "pruthi"), "error: task stsb is text-regression: there are no attacks on it"),
        (("--task", "squad", "--attack", "pruthi"), "error: attack pruthi is of kind text; task squad needs one of"),
        (("--task", "cifar10", "--attack", "pwws"), "error: attack pwws is of kind text; task cifar10 needs one of"),
        (("--task", "moods.yaml", "--attack", "pruthi", "--on", "more"), "error: unknown set of task moods 'more'"),
        (
            ("--task", "moods.yaml", "--attack", "pruthi", "--on", "other-words"),
            "error: other-words: has classes of its own (sad, happy); attacks need those of task moods",
        ),
        (("--task", "moods.yaml", "--attack", "pruthi", "--split", "dev"), "error: files name no split 'dev'"),
        (("--task", "moods.yaml", "--attack", "pruthi", "--labels", "a,b,c"), "error: --labels: names 3 classes, but"),
        (
            ("--task", "moods.yaml", "--attack", "pruthi", "--labels", "up,down"),
            "error: --labels: classes up, down cannot be matched to those of the task (negative, positive)",
        ),
        (("--task", "sst2", "--attack", "pruthi", "--offline"), "error: nyu-mll/glue/sst2/validation: not in a mirror"),
        (("--task", "moods.yaml", "--attack", "pruthi", "--model", "nowhere"), "error: nowhere: holds no config.json"),
        (("--task", "small-digits.yaml", "--attack", "fgsm-linf-8", "--show", "1"), "error: --show: images cannot"),
        (
            ("--task", "small-digits.yaml", "--attack", "fgsm-linf-8"),
            "is a BertForSequenceClassification; task small-digits needs a model ForImageClassification",
        ),
        (("--task", "towns.yaml", "--attack", "question-characters"), "needs a model ForQuestionAnswering"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(cli: Cli, models: Path, line: tuple[str, ...], complaint: str) -> None:
    """Exit code 2, and nothing is written."""
    paths = [str(models / word) if (models / word).is_file() else word for word in line]
    result = cli("attack", "--model", models / "plain", "--out", "here", *paths)
    assert result.code == 2 and complaint in result.err and result.err.count("\n") == 1
    assert not result.out and not Path("here").exists()


def test_an_out_of_domain_set_is_attacked(cli: Cli, models: Path) -> None:
    """Under its own name, with the task's classes."""
    result = cli(*_moods(models, "plain", "--attack", "pruthi", "--examples", 4, "--on", "renamed", "--out", "here"))
    assert result.code == 0 and "renamed test, 4 examples" in result.out
    assert _summary(Path("here"))["settings"]["dataset"] == "renamed"
