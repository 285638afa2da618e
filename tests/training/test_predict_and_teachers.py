"""Predictions and cached teacher logits equal a plain forward of each row by itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdbench.artifacts import ArtifactCache
from kdbench.checks.training import TinyTask
from kdbench.inputs.text import EncodedTexts
from kdbench.methods.stages import TeacherRef
from kdbench.models.build import load_model
from kdbench.training.predict import predict
from kdbench.training.teachers import TeacherBank


def _alone(model: Any, data: EncodedTexts) -> np.ndarray:
    """Logits of every row in a batch of its own, without padding."""
    with torch.no_grad():
        return np.concatenate([model(**data.collate(np.array([row]))).logits.numpy() for row in range(len(data))])


def _permuted(data: EncodedTexts, order: np.ndarray) -> EncodedTexts:
    pieces = [np.arange(data.starts[row], data.starts[row + 1]) for row in order]
    flat = np.concatenate(pieces)
    starts = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])])
    types = None if data.types is None else data.types[flat]
    return EncodedTexts(data.tokens[flat], types, starts, data.labels[order], data.pad)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_predictions_are_those_of_each_row_alone(task: TinyTask, batch_size: int) -> None:
    """Padding and batch-mates do not matter; results come in the order of the rows, in float32."""
    model = load_model(task.folders[TeacherRef("checkpoint", 0)][1])
    found = predict(model, task.data.train, batch_size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, _alone(model, task.data.train), atol=1e-5)


def test_predictions_do_not_depend_on_the_order_of_rows(task: TinyTask) -> None:
    """A permuted split gives permuted logits."""
    model = load_model(task.folders[TeacherRef("checkpoint", 0)][1])
    order = np.random.default_rng(0).permutation(len(task.data.train))
    found = predict(model, _permuted(task.data.train, order), 8)
    np.testing.assert_allclose(found, predict(model, task.data.train, 8)[order], atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_predicting_uses_no_dropout_and_restores_the_mode(task: TinyTask, make_model: Any, training: bool) -> None:
    """A model in training is evaluated without dropout and goes on training."""
    model = make_model().train(training)
    first = predict(model, task.data.selection)
    assert model.training is training and (first == predict(model, task.data.selection)).all()


def _bank(task: TinyTask, folder: Path, **changes: Any) -> TeacherBank:
    return TeacherBank(
        ArtifactCache(folder), task.data.train, torch.device("cpu"), changes.pop("folders", task.folders), **changes
    )


@pytest.mark.parametrize("ref", [TeacherRef("checkpoint", 0), TeacherRef("checkpoint", 2), TeacherRef("assistant", 0)])
def test_cached_logits_equal_a_live_forward(task: TinyTask, tmp_path: Path, ref: TeacherRef) -> None:
    """Of the right checkpoint, row by row; the first time and from the cache."""
    expected = _alone(load_model(task.folders[ref][1]), task.data.train)
    for _ in range(2):
        found = _bank(task, tmp_path).logits(ref)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
        assert not found.requires_grad


def test_logits_are_computed_once_and_shared(task: TinyTask, tmp_path: Path) -> None:
    """Another training finds them although the teacher's files are gone; without a cache it cannot."""
    ref = TeacherRef("checkpoint", 1)
    copy = tmp_path / "teacher"
    shutil.copytree(task.folders[ref][1], copy)
    folders = {ref: ("key", copy)}
    first = _bank(task, tmp_path / "cache", folders=folders).logits(ref)
    shutil.rmtree(copy)
    assert torch.equal(first, _bank(task, tmp_path / "cache", folders=folders).logits(ref))
    with pytest.raises((OSError, ValueError), match="teacher"):
        _bank(task, tmp_path / "other", folders=folders).logits(ref)


def test_teachers_with_other_keys_checkpoints_or_precision_do_not_share(task: TinyTask, tmp_path: Path) -> None:
    """Everything that identifies the logits is in the key of the cache."""
    ref, other = TeacherRef("checkpoint", 0), TeacherRef("checkpoint", 1)
    folder, second = task.folders[ref][1], task.folders[other][1]
    base = _bank(task, tmp_path, folders={ref: ("a", folder), other: ("a", second)})
    logits = base.logits(ref)
    assert not torch.allclose(logits, base.logits(other))
    assert not torch.allclose(logits, _bank(task, tmp_path, folders={ref: ("b", second)}).logits(ref))
    half = _bank(task, tmp_path, folders={ref: ("a", folder)}, precision="bf16").logits(ref)
    assert not torch.equal(logits, half) and torch.allclose(logits, half, atol=0.05)


def test_teacher_models_are_frozen_and_one_at_a_time(task: TinyTask, tmp_path: Path) -> None:
    """Evaluation mode, no gradients; asking for another one frees the first."""
    bank = _bank(task, tmp_path)
    assert bank.loaded is None
    first = bank.model(TeacherRef("checkpoint", 0))
    assert not first.training and not any(parameter.requires_grad for parameter in first.parameters())
    assert bank.model(TeacherRef("checkpoint", 0)) is first
    assert bank.model(TeacherRef("checkpoint", 1)) is bank.loaded is not first


def test_a_random_teacher_is_never_cached_on_disk(task: TinyTask, tmp_path: Path, make_model: Any) -> None:
    """It belongs to the seed of one cell."""
    ref = TeacherRef("random")
    one, two = (
        _bank(task, tmp_path, random=lambda seed=seed: make_model(layers=3, seed=seed)).logits(ref) for seed in (1, 2)
    )
    assert not torch.allclose(one, two) and not list(tmp_path.rglob("*.safetensors"))
