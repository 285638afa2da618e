"""Teachers' answers to augmented data: taken from the cache where that wastes nothing, and the same either way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import kdbench.training.teachers
from kdbench.checks.training import TinyTask
from kdbench.methods import CrossEntropy, Leg, LogitMSE, Stage
from kdbench.methods.stages import TeacherRef
from kdbench.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]
EARLY, LATE, HELPER = TeacherRef("checkpoint", 0), TeacherRef("checkpoint", 2), TeacherRef("assistant")


class WithFeatures(LogitMSE):
    """Wants more than logits."""

    needs_hidden_states = True


def _plan(trainer: Trainer, *legs: Leg, first: int = 0, objective: Any = None) -> list[bool]:
    return trainer.teaching.plan(Stage("s", legs, objective or LogitMSE()), first)


def test_a_whole_epoch_with_one_teacher_comes_from_the_cache(make_trainer: MakeTrainer, image_task: TinyTask) -> None:
    """Any other epoch is answered batch by batch: half of a forward pass over the split would be wasted."""
    trainer = make_trainer(image_task, "kd")
    epoch = trainer.stream.per_epoch
    half = epoch // 2
    whole, live = [True] * epoch, [False] * epoch
    assert _plan(trainer, Leg(2 * epoch, LATE)) == whole * 2
    assert _plan(trainer, Leg(epoch, EARLY), Leg(epoch, LATE)) == whole * 2
    assert _plan(trainer, Leg(half, EARLY), Leg(epoch - half, LATE), Leg(epoch, LATE)) == live + whole
    assert _plan(trainer, Leg(half, LATE, 0.5), Leg(epoch - half, LATE, 1.0)) == whole, "scales share the logits"
    assert _plan(trainer, Leg(epoch + half, LATE)) == whole + live[:half], "the training ends within the second"
    assert _plan(trainer, Leg(half, LATE), Leg(epoch - half)) == live, "labels only for the rest"


def test_epochs_are_counted_over_all_stages(make_trainer: MakeTrainer, image_task: TinyTask) -> None:
    """A stage that begins within an epoch waits for the next one."""
    trainer = make_trainer(image_task, "kd")
    epoch = trainer.stream.per_epoch
    found = _plan(trainer, Leg(2 * epoch, LATE), first=3)
    assert found == [False] * (epoch - 3) + [True] * epoch + [False] * 3


def test_features_are_never_cached_and_labels_need_no_teacher(make_trainer: MakeTrainer, image_task: TinyTask) -> None:
    """Hidden states would fill the disk."""
    trainer = make_trainer(image_task, "kd")
    epoch = trainer.stream.per_epoch
    assert not any(_plan(trainer, Leg(epoch, LATE), objective=WithFeatures()))
    assert not any(_plan(trainer, Leg(epoch), objective=CrossEntropy()))


def test_texts_are_always_answered_from_the_cache(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """They are not augmented: one pass serves every seed and epoch."""
    trainer = make_trainer(task, "kd")
    assert trainer.teaching.view(0) is None
    assert _plan(trainer, Leg(1, EARLY), Leg(2, LATE), first=5) == [True] * 3


@pytest.mark.parametrize("ref", [EARLY, LATE, HELPER], ids=["early", "late", "assistant"])
def test_cached_answers_equal_live_ones_on_the_same_view(
    make_trainer: MakeTrainer, image_task: TinyTask, ref: TeacherRef
) -> None:
    """Row by row, scaled; and another view has other answers."""
    trainer = make_trainer(image_task, "kd")
    teaching, leg = trainer.teaching, Leg(1, ref, 0.3)
    for update in (0, trainer.stream.per_epoch):
        rows, view = trainer.stream.batch(update), teaching.view(update)
        live = teaching.answers(Stage("s", (leg,), LogitMSE()), leg, trainer.data.train.collate(rows, view))
        cached = teaching.cached_answers(leg, torch.from_numpy(rows), view, {})
        torch.testing.assert_close(cached.logits, live.logits, atol=1e-5, rtol=1e-4)
        other = teaching.cached_answers(leg, torch.from_numpy(rows), teaching.view(update + 7 * len(rows)), {})
        assert not torch.allclose(other.logits, live.logits, atol=1e-3)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int | None]]:
    """The view of every pass of a teacher over the training split, as they happen."""
    seen: list[int | None] = []
    real = kdbench.training.teachers.predict

    def counted(model: Any, data: Any, **options: Any) -> np.ndarray:
        seen.append(options["view"])
        return real(model, data, **options)

    monkeypatch.setattr(kdbench.training.teachers, "predict", counted)
    return seen


def test_methods_of_one_seed_share_a_teachers_passes(
    make_trainer: MakeTrainer, image_task: TinyTask, passes: list[int | None]
) -> None:
    """One for each epoch; another method with the same teacher adds none, another seed its own."""
    updates = 2 * image_task.per_epoch
    make_trainer(image_task, "kd", updates, folder="a", cache="shared").run()
    assert len(passes) == 2 == len(set(passes))
    make_trainer(image_task, "logit-mse", updates, folder="b", cache="shared").run()
    assert len(passes) == 2
    make_trainer(image_task, "dkd", updates, folder="c", cache="shared", seed=2).run()
    assert len(passes) == 4 == len(set(passes))


def test_texts_need_one_pass_for_all_seeds(make_trainer: MakeTrainer, task: TinyTask, passes: list[int | None]) -> None:
    """And epochs, and methods."""
    for seed, method in ((1, "kd"), (2, "logit-mse"), (3, "annealing")):
        make_trainer(task, method, 2 * task.per_epoch, folder=method, cache="shared", seed=seed).run()
    assert passes == [None]


def test_a_walk_pays_for_each_epochs_teacher_only(
    make_trainer: MakeTrainer, image_task: TinyTask, passes: list[int | None]
) -> None:
    """RCO over three checkpoints in three epochs: three passes over the split, none of them live."""
    trainer = make_trainer(image_task, "rco", 3 * image_task.per_epoch)
    result = trainer.run()
    assert [leg.teacher.index for leg in trainer.stages[0].legs] == [0, 1, 2]
    assert len(passes) == 3 and result.live_teacher_updates == 0
    assert result.cached_teacher_examples == 3 * len(image_task.data.train)


def test_a_random_teacher_is_asked_batch_by_batch_or_once_an_epoch(
    make_trainer: MakeTrainer, image_task: TinyTask, passes: list[int | None]
) -> None:
    """Its answers are those of this cell only, and nothing of them is kept on disk."""
    trainer = make_trainer(image_task, "random-teacher", image_task.per_epoch + 2)
    result = trainer.run()
    assert len(passes) == 1 and result.live_teacher_updates == 2
    assert not list(trainer.teaching.bank.cache.root.glob("teacher-logits/*"))
