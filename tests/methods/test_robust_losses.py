"""ARD, RSLAD, MATE-KD on images and FreeLB-KD in the real trainer: the whole loss of one update, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from scipy.special import log_softmax, softmax

from kdbench.artifacts import ArtifactCache
from kdbench.budget import Budget, Updates
from kdbench.checks.training import TinyTask, tiny_task
from kdbench.inputs.base import Inputs
from kdbench.methods.registry import METHODS
from kdbench.methods.stages import TeacherRef
from kdbench.models.build import load_model
from kdbench.training.teachers import TeacherBank
from kdbench.training.trainer import Trainer

Array = np.ndarray


def _opinionated(task: TinyTask) -> TinyTask:
    """The same task with teachers that are not undecided, as random weights are."""
    for _, folder in task.folders.values():
        model = load_model(folder)
        head = model.net.linear if hasattr(model, "net") else model.classifier
        with torch.no_grad():
            head.weight.mul_(100)
        model.save_pretrained(folder)
    return task


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> TinyTask:
    """Four digits, cropped at random."""
    return _opinionated(tiny_task("image-classification", tmp_path_factory.mktemp("digits"), 2))


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> TinyTask:
    """Tiny sentiment."""
    return _opinionated(tiny_task("text-classification", tmp_path_factory.mktemp("sentences"), 2))


class Update:
    """One update of a student that starts as a copy of the first teacher's footprint."""

    def __init__(self, task: TinyTask, scratch: Path, method: str, **settings: Any) -> None:
        def unwanted(_: int) -> Any:
            raise AssertionError("there is no generator in this game")

        (_, first), (_, last) = (task.folders[TeacherRef("checkpoint", index)] for index in (0, 1))
        student, self.teacher = load_model(first), load_model(last)
        bank = TeacherBank(
            ArtifactCache(scratch / "cache"), task.data.train, torch.device("cpu"), task.folders, lambda: self.teacher
        )
        stages = METHODS.build(method, {method: settings}, task.kind).stages(
            Updates(1, task.per_epoch), task.trajectory
        )
        trainer = Trainer(
            Accelerator(cpu=True),
            student,
            task.reader,
            task.data,
            stages,
            Budget(batch_size=8, precision="fp32"),
            learning_rate=1e-3,
            seed=1,
            folder=scratch / "checkpoint",
            teachers=bank,
            generator=unwanted,
        )
        seen: list[tuple[Inputs, Array]] = []

        def note(model: torch.nn.Module, _args: Any, kwargs: Inputs, out: Any) -> None:
            if model.training:  # neither the attack nor the selection
                tensors = {name: value.detach() for name, value in kwargs.items() if torch.is_tensor(value)}
                seen.append((tensors, out.logits.detach().double().numpy()))

        student.register_forward_hook(note, with_kwargs=True)
        result = trainer.run()
        (self.clean, self.student), (self.augmented, self.student_augmented) = seen
        self.labels = task.data.train.labels[trainer.stream.batch(0)]
        self.terms = {k: v for k, v in json.loads(result.log[0]).items() if k not in ("stage", "step")}
        self.loss = sum(self.terms.values())

    def teach(self, inputs: Inputs) -> Array:
        """The teacher's logits."""
        with torch.no_grad():
            return self.teacher(**inputs).logits.double().numpy()

    def ce(self) -> float:
        """On the original inputs."""
        return float(-log_softmax(self.student, axis=1)[np.arange(len(self.labels)), self.labels].mean())


def _kl(teacher: Array, student: Array, temperature: float = 1.0) -> float:
    """KL(pT ‖ pS), summed over classes, mean over the batch."""
    log_t, log_s = (log_softmax(logits / temperature, axis=1) for logits in (teacher, student))
    return float((np.exp(log_t) * (log_t - log_s)).sum(1).mean())


def _soft_ce(teacher: Array, student: Array) -> float:
    return float(-(softmax(teacher, axis=1) * log_softmax(student, axis=1)).sum(1).mean())


def test_ard(images: TinyTask, tmp_path: Path) -> None:
    """α·T²·KL(pT(x) ‖ pS(x')) + (1-α)·CE(y, zS(x)), METHODS.md."""
    update = Update(images, tmp_path, "ard", alpha=0.7, temperature=3.0)
    soft = 0.7 * 9 * _kl(update.teach(update.clean), update.student_augmented, 3.0)
    assert update.terms == pytest.approx({"hard": 0.3 * update.ce(), "augmented_soft": soft}, rel=1e-4)


def test_ard_by_default_has_no_label_term(images: TinyTask, tmp_path: Path) -> None:
    """α = 1: labels are used by the attack alone."""
    update = Update(images, tmp_path, "ard")
    assert set(update.terms) == {"augmented_soft"}
    assert update.loss == pytest.approx(900 * _kl(update.teach(update.clean), update.student_augmented, 30.0), rel=1e-4)


def test_rslad(images: TinyTask, tmp_path: Path) -> None:
    """5/6·KL(pT(x) ‖ pS(x')) + 1/6·KL(pT(x) ‖ pS(x)), both with the clean answer."""
    update = Update(images, tmp_path, "rslad")
    teacher = update.teach(update.clean)
    expected = 5 / 6 * _kl(teacher, update.student_augmented) + 1 / 6 * _kl(teacher, update.student)
    assert update.loss == pytest.approx(expected, rel=1e-4) and "hard" not in update.terms


def test_mate_on_images(images: TinyTask, tmp_path: Path) -> None:
    """Three thirds; the teacher answers to x' too."""
    update = Update(images, tmp_path, "mate")
    augmented = _soft_ce(update.teach(update.augmented), update.student_augmented)
    expected = (update.ce() + _soft_ce(update.teach(update.clean), update.student) + augmented) / 3
    assert update.loss == pytest.approx(expected, rel=1e-4)
    assert _soft_ce(update.teach(update.clean), update.student_augmented) != pytest.approx(augmented, rel=1e-4)


def test_combined_on_images(images: TinyTask, tmp_path: Path) -> None:
    """½·MSE(zS(x'), Φ·zT(x')) + ½·MSE(zS(x), Φ·zT(x)); one update has Φ = 1."""
    update = Update(images, tmp_path, "combined", epochs=(1e6, 1))
    pairs = [(update.clean, update.student), (update.augmented, update.student_augmented)]
    expected = np.mean([((update.teach(inputs) - logits) ** 2).mean() for inputs, logits in pairs])
    assert update.loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("method", "epsilon"), [("ard", 8 / 255), ("rslad", 8 / 255), ("mate", 4 / 255)])
def test_the_student_trains_on_the_ball_around_what_it_saw(
    images: TinyTask, tmp_path: Path, method: str, epsilon: float
) -> None:
    """x' belongs to the cropped x of the same update."""
    update = Update(images, tmp_path, method)
    moved = (update.augmented["pixel_values"] - update.clean["pixel_values"]).abs()
    assert 0.9 * epsilon < moved.max() <= epsilon + 1e-6
    assert update.augmented["pixel_values"].min() >= 0 and update.augmented["pixel_values"].max() <= 1


def test_freelb_kd(sentences: TinyTask, tmp_path: Path) -> None:
    """α·CE(y, zS(x)) + (1-α)·mean over K views of T²·KL(pT(x) ‖ pS(x + δ))."""
    update = Update(sentences, tmp_path, "freelb-kd", alpha=0.3, steps=4)
    teacher, views = update.teach(update.clean), np.split(update.student_augmented, 4)
    soft = 0.7 * 4 * np.mean([_kl(teacher, view, 2.0) for view in views])
    assert update.terms == pytest.approx({"hard": 0.3 * update.ce(), "augmented_soft": soft}, rel=1e-4)
    assert "input_ids" not in update.augmented and len(update.augmented["inputs_embeds"]) == 4 * len(update.labels)
