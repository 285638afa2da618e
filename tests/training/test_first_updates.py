"""The first update of each loss equals its formula, and teachers change when their leg begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor

from kdbench.budget import Updates
from kdbench.checks.training import TinyTask
from kdbench.inputs.base import Inputs
from kdbench.methods import Context, KDObjective, Leg, LogitMSE, Outputs, Stage
from kdbench.methods.augment.base import AugmenterContext, Batch
from kdbench.methods.registry import METHODS
from kdbench.methods.stages import TeacherRef
from kdbench.models.build import load_model
from kdbench.training.predict import predict
from tests.training.watching import (
    BEST,
    FAST,
    MakeTrainer,
    cross_entropy,
    terms_of,
)


class Backwards:
    """An augmenter without a model: x' is x with its tokens in reverse order."""

    needs_generator = False
    live_teacher = True
    teacher_reads = "augmented"

    def __init__(self, share: float) -> None:
        self.share = share

    def generator_updates(self, student_updates: int) -> int:
        """None."""
        return 0

    def start(self, context: AugmenterContext) -> Backwards:
        """Nothing to prepare."""
        return self

    def before_update(self, step: int, teacher: Any) -> None:
        """Nothing to learn."""

    def augment(self, batch: Batch, step: int) -> Inputs:
        """Reversed, padding included."""
        return {name: value.flip(1) for name, value in batch.inputs.items()}

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Nothing."""


@pytest.fixture
def first_update(make_trainer: MakeTrainer, make_model: Any, tmp_path: Path) -> Callable[..., tuple[Any, Any, Any]]:
    """Run one update from known weights; returns its terms, the labels and a function for logits.

    The function gives (student, teacher) logits of the batch, plain or reversed, by forwards of our
    own. Heads are large, so that no term is lost in rounding.
    """

    def sharp(outputs: int, layers: int, seed: int) -> Any:
        model = make_model(outputs, layers=layers, seed=seed, dropout=False)
        with torch.no_grad():
            model.classifier.weight.mul_(50)
        return model.eval()

    def run(task: TinyTask, stage: Stage) -> tuple[dict[str, float], np.ndarray, Any]:
        student, teacher = sharp(task.head.outputs, 2, 1), sharp(task.head.outputs, 3, 2)
        teacher.save_pretrained(tmp_path / "teacher")
        task = dataclasses.replace(task, folders={BEST: ("sharp", tmp_path / "teacher")})
        trainer = make_trainer(task, [stage], model=sharp(task.head.outputs, 2, 1))
        rows = trainer.stream.batch(0)
        inputs = task.data.train.collate(rows)
        result = trainer.run()

        def logits(reverse: bool = False) -> tuple[np.ndarray, np.ndarray]:
            batch = {name: value.flip(1) for name, value in inputs.items()} if reverse else inputs
            with torch.no_grad():
                return student(**batch).logits.double().numpy(), teacher(**batch).logits.double().numpy()

        return terms_of(result.log)[0], task.data.train.labels[rows], logits

    return run


def test_first_update_of_kd(task: TinyTask, first_update: Any) -> None:
    """α·CE and (1-α)·T²·KL of the first batch, from models run by hand."""
    found, labels, logits = first_update(task, Stage("kd", (Leg(1, BEST),), KDObjective(0.3, 2.0)))
    student, teacher = logits()
    p, q = softmax(teacher / 2, axis=1), softmax(student / 2, axis=1)
    soft = 0.7 * 4 * (p * np.log(p / q)).sum(1).mean()
    assert found == pytest.approx({"hard": 0.3 * cross_entropy(student, labels), "soft": soft}, rel=1e-4)


def test_first_update_of_annealing_scales_the_teacher_only(task: TinyTask, first_update: Any) -> None:
    """MSE(zS, Φ·zT)."""
    found, _, logits = first_update(task, Stage("annealing", (Leg(1, BEST, 1 / 7),), LogitMSE()))
    student, teacher = logits()
    assert found == pytest.approx({"soft": ((student - teacher / 7) ** 2).mean()}, rel=1e-4)


def test_first_update_of_mate_is_made_of_three_thirds(task: TinyTask, first_update: Any) -> None:
    """1/3·CE + 1/3·D on x + 1/3·D on x'."""
    (stage,) = METHODS.build("mate").stages(Updates(1, 1), task.trajectory)
    found, labels, logits = first_update(task, dataclasses.replace(stage, augmenter=Backwards(0.5)))
    expected = {"hard": cross_entropy(logits()[0], labels) / 3}
    for name, reverse in (("soft", False), ("augmented_soft", True)):
        student, teacher = logits(reverse)
        expected[name] = -(softmax(teacher, axis=1) * log_softmax(student, axis=1)).sum(1).mean() / 3
    assert found == pytest.approx(expected, rel=1e-4)


def test_first_update_of_combined_anneals_both_halves(task: TinyTask, first_update: Any) -> None:
    """Defect 1: ½·MSE(zS(x'), Φ·zT(x')) is part of the loss, and Φ scales it, too."""
    stage = Stage("annealing+mate", (Leg(1, BEST, 0.1),), LogitMSE(), Backwards(0.5))
    found, _, logits = first_update(task, stage)
    expected = {}
    for name, reverse in (("soft", False), ("augmented_soft", True)):
        student, teacher = logits(reverse)
        expected[name] = ((student - 0.1 * teacher) ** 2).mean() / 2
    assert found == pytest.approx(expected, rel=1e-4)


def test_first_update_on_scores(scores_task: TinyTask, first_update: Any) -> None:
    """Both terms are MSE, against gold scores and against the teacher's."""
    found, labels, logits = first_update(scores_task, Stage("kd", (Leg(1, BEST),), KDObjective(0.5, 2.0)))
    student, teacher = logits()
    hard, soft = ((student[:, 0] - labels) ** 2).mean() / 2, ((student - teacher) ** 2).mean() / 2
    assert found == pytest.approx({"hard": hard, "soft": soft}, rel=1e-4)


@pytest.mark.parametrize("method", ["kd", "combined"])
def test_no_gradient_reaches_a_teacher(make_trainer: MakeTrainer, task: TinyTask, method: str) -> None:
    """Neither from cached logits nor from the live teacher of an augmenter."""
    before = task.teacher_digests()
    trainer = make_trainer(task, method, 6, settings=FAST)
    trainer.run()
    assert trainer.teaching.bank.loaded is not None
    assert all(p.grad is None and not p.requires_grad for p in trainer.teaching.bank.loaded.parameters())
    assert task.teacher_digests() == before


def test_legs_change_the_teacher_at_the_right_update(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """An objective that only notes what it is shown: scaled logits of each leg's own checkpoint."""
    seen: list[tuple[float, Tensor]] = []

    @dataclass(frozen=True)
    class Noting(LogitMSE):
        def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
            seen.append((context.progress, teacher.logits.clone()))
            return super().soft(student, teacher, context)

    legs = (Leg(2, TeacherRef("checkpoint", 1), 0.5), Leg(1, TeacherRef("checkpoint", 0)))
    trainer = make_trainer(task, [Stage("walk", legs, Noting())])
    trainer.run()
    for step, (ref, scale) in enumerate([(legs[0].teacher, 0.5)] * 2 + [(legs[1].teacher, 1.0)]):
        rows = trainer.stream.batch(step)
        expected = predict(load_model(task.folders[ref][1]), task.data.train)[rows] * scale
        np.testing.assert_allclose(seen[step][1].numpy(), expected, atol=1e-5)
        assert seen[step][0] == pytest.approx(step / 3)
