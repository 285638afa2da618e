"""Training on images with the real trainer: losses of augmented views by hand, and resuming to the same bits."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kdbench.checks.training import TinyTask
from kdbench.inputs.base import Inputs
from kdbench.methods import Context, CrossEntropy, KDObjective, Leg, LogitMSE, Outputs, Stage
from kdbench.methods.augment.base import AugmenterContext, Batch
from kdbench.methods.stages import TeacherRef
from kdbench.models.build import load_model
from kdbench.training.trainer import Trainer
from tests.training.conftest import tiny_network

MakeTrainer = Callable[..., Trainer]
BEST = TeacherRef("checkpoint", 2)


def _terms(log: list[str]) -> dict[str, float]:
    line = json.loads(log[0])
    return {name: value for name, value in line.items() if name not in ("stage", "step")}


def _kl(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> float:
    p, q = (F.softmax(logits.double() / temperature, -1) for logits in (teacher, student))
    return float((p * (p / q).log()).sum(-1).mean())


def _sharp(layers: int, seed: int) -> Any:
    """A network with a large head, so that no term is lost in rounding."""
    model = tiny_network(4, layers=layers, seed=seed)
    with torch.no_grad():
        model.net.linear.weight.mul_(100)
    return model


@pytest.fixture
def sharp_task(image_task: TinyTask, tmp_path: Path) -> TinyTask:
    """The digits with one teacher that is sure of itself."""
    _sharp(3, 2).save_pretrained(tmp_path / "sharp")
    return replace(image_task, folders={BEST: ("sharp", tmp_path / "sharp")})


@dataclass(frozen=True)
class FirstBatch:
    """The first update of a training, by hand.

    Attributes:
        rows: of the batch.
        inputs: its pixels in the view of the first epoch.
        student: in training mode, as it was before the update; batch normalisation sees the batch.
        teacher: in evaluation mode.
    """

    rows: np.ndarray
    inputs: Tensor
    labels: Tensor
    student: Any
    teacher: Any

    @classmethod
    def of(cls, trainer: Trainer, task: TinyTask) -> FirstBatch:
        """Taken before the trainer runs."""
        rows = trainer.stream.batch(0)
        inputs = task.data.train.collate(rows, trainer.teaching.view(0))["pixel_values"]
        labels = torch.from_numpy(task.data.train.labels[rows])
        return cls(rows, inputs, labels, copy.deepcopy(trainer.model).train(), load_model(task.folders[BEST][1]))

    def logits(self, inputs: Tensor) -> Tensor:
        """The student's; each call moves its running statistics, which training mode does not read."""
        with torch.no_grad():
            return self.student(pixel_values=inputs).logits  # type: ignore[no-any-return]

    def answers(self, inputs: Tensor) -> Tensor:
        """The teacher's."""
        with torch.no_grad():
            return self.teacher(pixel_values=inputs).logits  # type: ignore[no-any-return]


def test_teacher_and_student_see_the_same_crop(make_trainer: MakeTrainer, sharp_task: TinyTask) -> None:
    """α·CE + (1-α)·T²·KL on the first epoch's view, the teacher's answer being one to that view."""
    trainer = make_trainer(sharp_task, [Stage("kd", (Leg(1, BEST),), KDObjective(0.1, 4.0))], model=_sharp(2, 1))
    batch = FirstBatch.of(trainer, sharp_task)
    plain = sharp_task.data.train.collate(batch.rows)["pixel_values"]
    found = _terms(trainer.run().log)
    student, teacher = batch.logits(batch.inputs), batch.answers(batch.inputs)
    hard = 0.1 * F.cross_entropy(student, batch.labels).item()
    assert found == pytest.approx({"hard": hard, "soft": 0.9 * 16 * _kl(teacher, student, 4.0)}, rel=1e-4)
    assert found["soft"] != pytest.approx(0.9 * 16 * _kl(batch.answers(plain), student, 4.0), rel=1e-3)


def test_every_epoch_is_another_view_and_every_seed_has_its_own(
    make_trainer: MakeTrainer, image_task: TinyTask
) -> None:
    """What the student reads, seen by an objective that looks."""
    seen: list[Tensor] = []

    @dataclass(frozen=True)
    class Looking(CrossEntropy):
        def hard(self, student: Outputs, labels: Tensor, context: Context) -> dict[str, Tensor]:
            order = context.rows.argsort()
            seen.append(context.inputs["pixel_values"][order].clone())
            return super().hard(student, labels, context)

    epochs = []
    data = image_task.data.train
    for seed in (1, 2):
        seen.clear()
        trainer = make_trainer(
            image_task, [Stage("look", (Leg(2),), Looking())], folder=str(seed), seed=seed, budget={"batch_size": 999}
        )
        trainer.run()
        assert trainer.stream.per_epoch == 1
        epochs += [tensor.clone() for tensor in seen]
        for update, found in enumerate(seen):
            expected = data.collate(np.arange(len(data)), trainer.teaching.view(update))["pixel_values"]
            assert torch.equal(found, expected)
    assert all(not torch.equal(a, b) for i, a in enumerate(epochs) for b in epochs[:i])


# --- augmenters -----------------------------------------------------------------------------------


class Views:
    """An augmenter without a model: negatives of the pixels, then the pixels at half the light, as two views."""

    needs_generator: ClassVar[bool] = False

    def __init__(self, share: float, teacher_reads: str) -> None:
        self.share = share
        self.teacher_reads = teacher_reads
        self.live_teacher = teacher_reads == "augmented"
        self.batches: list[Batch] = []

    def generator_updates(self, student_updates: int) -> int:
        """None."""
        return 0

    def start(self, context: AugmenterContext) -> Views:
        """Nothing to prepare."""
        return self

    def before_update(self, step: int, teacher: Any) -> None:
        """Nothing to learn."""

    def augment(self, batch: Batch, step: int) -> Inputs:
        """Two views, one after the other."""
        self.batches.append(batch)
        return {"pixel_values": self.views(batch.inputs["pixel_values"])}

    @staticmethod
    def views(pixels: Tensor) -> Tensor:
        """``(2 · batch, …)``."""
        return torch.cat([1 - pixels, pixels / 2])

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Nothing."""


@pytest.mark.parametrize("reads", ["augmented", "original"])
@pytest.mark.parametrize("share", [0.25, 5 / 6, 1.0])
def test_soft_terms_are_weighted_by_the_share(
    make_trainer: MakeTrainer, sharp_task: TinyTask, share: float, reads: str
) -> None:
    """(1 - share) on the original, share on the mean over all views; the labels' term sees originals only."""
    augmenter = Views(share, reads)
    stage = Stage("s", (Leg(1, BEST, 0.5),), KDObjective(0.3, 2.0), augmenter)
    trainer = make_trainer(sharp_task, [stage], model=_sharp(2, 1))
    batch = FirstBatch.of(trainer, sharp_task)
    found = _terms(trainer.run().log)
    student, teacher = batch.logits(batch.inputs), 0.5 * batch.answers(batch.inputs)
    augmented = Views.views(batch.inputs)
    target = 0.5 * batch.answers(augmented) if reads == "augmented" else teacher.repeat(2, 1)
    expected = {
        "hard": 0.3 * F.cross_entropy(student, batch.labels).item(),
        "soft": (1 - share) * 0.7 * 4 * _kl(teacher, student, 2.0),
        "augmented_soft": share * 0.7 * 4 * _kl(target, batch.logits(augmented), 2.0),
    }
    if share == 1:
        del expected["soft"]
    assert found == pytest.approx(expected, rel=1e-4)
    (given,) = augmenter.batches
    assert torch.equal(given.labels, batch.labels) and torch.equal(given.inputs["pixel_values"], batch.inputs)
    torch.testing.assert_close(given.teacher.logits, teacher, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("method", "terms"),
    [
        ("ard", {"augmented_soft"}),
        ("rslad", {"soft", "augmented_soft"}),
        ("mate", {"hard", "soft", "augmented_soft"}),
        ("combined", {"soft", "augmented_soft"}),
    ],
)
def test_the_terms_of_adversarial_methods(
    make_trainer: MakeTrainer, image_task: TinyTask, method: str, terms: set[str]
) -> None:
    """ARD at α = 1 compares adversarial images only; RSLAD has no labels; Combined-KD none in its first stage."""
    trainer = make_trainer(image_task, method, 12)
    result = trainer.run()
    assert _terms(result.log).keys() == terms
    live = {"ard": 0, "rslad": 0, "mate": 12, "combined": 6}[method]
    assert trainer.teaching.plan(trainer.stages[0], 0) == [False] * trainer.stages[0].steps, "less than an epoch"
    assert result.live_teacher_updates == live + trainer.stages[0].steps


def test_rslads_weights_are_five_sixths_and_one(make_trainer: MakeTrainer, sharp_task: TinyTask) -> None:
    """At its first update, whose clean term is known; the adversarial one is larger than on clean images."""
    trainer = make_trainer(sharp_task, "rslad", 1, model=_sharp(2, 1))
    batch = FirstBatch.of(trainer, sharp_task)
    found = _terms(trainer.run().log)
    clean = _kl(batch.answers(batch.inputs), batch.logits(batch.inputs))
    assert found["soft"] == pytest.approx(clean / 6, rel=1e-4)
    assert found["augmented_soft"] > 5 / 6 * clean


# --- resuming -------------------------------------------------------------------------------------

UPDATES = 40
SETTINGS: dict[str, dict[str, Any]] = {"crd": {"negatives": 16}, "mate": {"steps": 2}, "rslad": {"steps": 2}}


class KilledError(Exception):
    """Stands for the end of the process."""


def _kill_at(selection: int) -> Callable[..., None]:
    def on_selection(index: int, *_: Any) -> None:
        if index == selection:
            raise KilledError

    return on_selection


def _same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(value, right[name]) for name, value in left.items())


@pytest.mark.parametrize("method", ["kd", "annealing", "fitnets", "crd", "mate", "rslad"])
def test_an_interrupted_training_ends_with_the_same_bits(
    make_trainer: MakeTrainer, image_task: TinyTask, method: str
) -> None:
    """With crops, momentum, running statistics, an objective's own weights and memory, and attacks."""
    options: dict[str, Any] = {"settings": {method: SETTINGS.get(method, {})}, "selections": 5}
    options["budget"] = {"optimizer": "sgd", "schedule": "cosine", "learning_rate": 0.05}
    straight = make_trainer(image_task, method, UPDATES, folder="straight", **options)
    expected = straight.run()
    for selection in (1, 3):
        torch.manual_seed(1000 + selection)
        np.random.seed(selection)
        with pytest.raises(KilledError):
            make_trainer(image_task, method, UPDATES, on_selection=_kill_at(selection), **options).run()
    resumed = make_trainer(image_task, method, UPDATES, **options)
    found = resumed.run()
    assert _same(resumed.last_weights(), straight.last_weights())
    assert _same(found.model.state_dict(), expected.model.state_dict())
    assert (found.log, found.scores) == (expected.log, expected.scores)
    assert (found.live_teacher_updates, found.cached_teacher_examples) == (
        expected.live_teacher_updates,
        expected.cached_teacher_examples,
    )


def test_an_objectives_weights_are_trained_with_the_students(make_trainer: MakeTrainer, image_task: TinyTask) -> None:
    """FitNets' regressor is in the checkpoint, with its momentum, and moves."""
    options: dict[str, Any] = {"budget": {"optimizer": "sgd", "learning_rate": 0.05}, "selections": 3}
    saved = []
    for selection in (1, 2):
        with pytest.raises(KilledError):
            make_trainer(image_task, "fitnets", 12, on_selection=_kill_at(selection), **options).run()
        loaded = make_trainer(image_task, "fitnets", 12, **options).checkpoints.load()
        assert loaded is not None
        saved.append(loaded[1])
    first, second = saved
    weights = [name for name, value in first["objective"].items() if value.is_floating_point() and value.ndim > 1]
    assert weights and all(not torch.equal(first["objective"][name], second["objective"][name]) for name in weights)
    assert any(name.startswith("momentum_buffer.") for name in first["objective_optimizer"])


# --- learning -------------------------------------------------------------------------------------


def test_digits_are_learnt_and_distilled(make_trainer: MakeTrainer, image_task: TinyTask, tmp_path: Any) -> None:
    """Ten epochs of the CIFAR recipe: a teacher that is right, and a student that learns from its logits alone."""
    budget = {"optimizer": "sgd", "schedule": "cosine", "learning_rate": 0.1, "weight_decay": 5e-4, "clip_norm": 5.0}
    updates = 10 * image_task.per_epoch
    legs = (Leg(updates),)
    model = tiny_network(4, layers=3, seed=3)
    teacher = make_trainer(
        image_task, [Stage("teacher", legs, CrossEntropy())], folder="teacher", model=model, budget=budget
    )
    result = teacher.run()
    assert result.score > 0.9
    result.model.save_pretrained(tmp_path / "trained")
    taught = replace(image_task, folders={BEST: ("trained", tmp_path / "trained")})
    student = make_trainer(taught, [Stage("s", (Leg(updates, BEST),), LogitMSE())], folder="student", budget=budget)
    found = student.run()
    assert found.score > 0.9
    assert (found.live_teacher_updates, found.cached_teacher_examples) == (0, 10 * len(image_task.data.train))
