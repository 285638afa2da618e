"""Directories that hold no model, or none for the task, are refused in one line that says what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import BertForMaskedLM, BertForSequenceClassification

from kdbench.errors import ModelError
from kdbench.models.tiny import tiny_config, tiny_tokenizer
from kdbench.tasks.spec import TaskSpec
from kdbench.victims.folder import load_victim
from tests.victims import saved

TASK = TaskSpec.model_validate(yaml.safe_load(saved.MOODS))
Damage = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny classifier that fits."""
    config = tiny_config(1, 16)
    config.id2label = {0: "NEGATIVE", 1: "POSITIVE"}
    BertForSequenceClassification(config).save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def _configure(**changes: Any) -> Damage:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")

    return change


def _drop(*names: str) -> Damage:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def _pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _without_head(folder: Path) -> None:
    weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if not k.startswith("classifier")}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _masked(folder: Path) -> None:
    BertForMaskedLM(tiny_config(1, 16)).save_pretrained(folder)


def _other_tokenizer(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"word{index}" for index in range(100)])
    tokenizer.save_pretrained(folder)


def _remote(folder: Path) -> None:
    _configure(model_type="mine", auto_map={"AutoModelForSequenceClassification": "code.Mine"})(folder)
    (folder / "code.py").write_text("raise SystemExit('remote code ran')\n", encoding="utf-8")


TOKENIZER = ("tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (_drop("config.json"), "holds no config.json: name a directory that save_pretrained wrote"),
        (lambda folder: (folder / "config.json").write_text("{", encoding="utf-8"), "config.json: is not JSON"),
        (
            lambda folder: (folder / "config.json").write_text("[]", encoding="utf-8"),
            "config.json: is no configuration",
        ),
        (_configure(id2label=["NEGATIVE", "POSITIVE"]), "config.json: id2label must be an object"),
        (_drop("model.safetensors"), "holds no weights"),
        (_pickle, "holds only pytorch_model.bin, and pickles are not read: save the model with safe_serialization"),
        (_drop(*TOKENIZER), "holds no tokenizer: save the one that the model was trained with beside it"),
        (_other_tokenizer, r"its tokenizer has \d+ tokens, the model only \d+"),
        (_without_head, "the weights lack classifier.bias, classifier.weight: the model was not trained for this kind"),
        (_masked, "is a BertForMaskedLM; task moods needs a model ForSequenceClassification"),
        (_configure(problem_type="regression"), "its head puts out a score; task moods needs one of 2 classes"),
        (_configure(id2label={"0": "LABEL_0"}), "its head puts out a score"),
        (_configure(problem_type="multi_label_classification"), "its head puts out several labels at once"),
        (_configure(id2label={"0": "a", "1": "b", "2": "c"}), "3 classes, but the task has 2"),
        (_configure(id2label={"0": "up", "1": "down"}), "classes up, down cannot be matched"),
        (_configure(hidden_size=32), "the weights lack|cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"half"), "cannot be loaded"),
        (_remote, "cannot be loaded"),
    ],
)
def test_it_is_refused(folder: Path, damage: Damage, complaint: str) -> None:
    """Naming the folder."""
    load_victim(folder, TASK)
    damage(folder)
    with pytest.raises(ModelError, match=complaint) as caught:
        load_victim(folder, TASK)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_a_cell_knows_its_classes(folder: Path) -> None:
    """The record beside the model names them, whatever the configuration says, and no doubt is left."""
    _configure(id2label={"0": "LABEL_0", "1": "LABEL_1"})(folder)
    assert load_victim(folder, TASK).warnings
    record = folder.parent / "record.json"
    record.write_text(json.dumps({"spec": {"task": {"labels": ["positive", "negative"]}}}), encoding="utf-8")
    for place in (folder, folder.parent):
        victim = load_victim(place, TASK)
        assert victim.order is not None and victim.order.outputs.tolist() == [1, 0] and not victim.warnings
    record.write_text(json.dumps({"spec": {"task": {"labels": ["a", "b", "c"]}}}), encoding="utf-8")
    with pytest.raises(ModelError, match="3 classes, but the task has 2"):
        load_victim(folder, TASK)


def test_texts_are_cut_where_the_model_ends(folder: Path) -> None:
    """A tokenizer that was saved without its limit."""
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 10**30
    tokenizer.save_pretrained(folder)
    long = TASK.model_copy(update={"max_length": 500})
    victim = load_victim(folder, long)
    examples = saved.texts(["a " * 1000])
    assert victim.reader.encode(examples).lengths.tolist() == [128]


def test_the_fingerprint_is_that_of_the_files(folder: Path, tmp_path: Path) -> None:
    """Wherever they lie."""
    first = load_victim(folder, TASK).fingerprint
    shutil.copytree(folder, tmp_path / "copy")
    assert load_victim(tmp_path / "copy", TASK).fingerprint == first
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_victim(folder, TASK).fingerprint != first
