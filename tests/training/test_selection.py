"""Which student is scored, kept, and started from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.checks.training import TinyTask
from kdbench.methods import CrossEntropy, Leg, LogitMSE, Stage
from kdbench.methods.stages import TeacherRef
from kdbench.training.predict import predict
from kdbench.training.trainer import Trainer
from tests.training.watching import (
    SEEDS,
    MakeTrainer,
    same,
    weights_of,
)


@dataclass
class Kept:
    """What ``on_selection`` saw: updates done, score and weights."""

    steps: list[int] = dataclasses.field(default_factory=list)
    scores: list[float] = dataclasses.field(default_factory=list)
    weights: list[dict[str, Tensor]] = dataclasses.field(default_factory=list)

    def __call__(self, index: int, step: int, score: float, model: Any) -> None:
        assert index == len(self.steps)
        self.steps.append(step)
        self.scores.append(score)
        self.weights.append(weights_of(model))

    def best(self, start: int = 0, stop: int | None = None) -> int:
        """Index of the best selection, the later of equals."""
        scores = self.scores[start:stop]
        return start + max(i for i, score in enumerate(scores) if score == max(scores))


def test_scores_are_those_of_the_selection_split(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """Accuracy of the model as it was, once an epoch when nothing else is said."""
    kept = Kept()
    trainer = make_trainer(task, "kd", 3 * task.per_epoch, on_selection=kept)
    result = trainer.run()
    assert kept.steps == [task.per_epoch * epoch for epoch in (1, 2, 3)]
    for weights, score in zip(kept.weights, kept.scores, strict=True):
        trainer.model.load_state_dict(weights)
        logits = predict(trainer.model, task.data.selection)
        assert score == (logits.argmax(1) == task.data.selection.labels).mean()
    assert [entry["selection"] for entry in result.scores] == kept.scores


def test_the_best_student_by_selection_is_returned(make_trainer: MakeTrainer, scores_task: TinyTask) -> None:
    """Not the last one; in evaluation mode; ``last_weights`` keeps the last."""
    told_apart = 0
    for seed in SEEDS:
        kept, folder = Kept(), f"seed-{seed}"
        options = {"seed": seed, "folder": folder, "selections": 5, "on_selection": kept}
        trainer = make_trainer(scores_task, "finetune", 15, **options)
        result = trainer.run()
        best = kept.best()
        assert result.score == kept.scores[best] == max(kept.scores)
        assert same(weights_of(result.model), kept.weights[best]) and not result.model.training
        assert same(trainer.last_weights(), kept.weights[-1])
        told_apart += best < len(kept.scores) - 1
    assert told_apart


def test_of_equal_students_the_later_one_is_kept(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """A learning rate so small that accuracy never changes: the last one has trained most."""
    kept = Kept()
    trainer = make_trainer(task, "kd", 15, budget={"learning_rate": 1e-7}, selections=3, on_selection=kept)
    result = trainer.run()
    assert len(set(kept.scores)) == 1 and not same(kept.weights[0], kept.weights[-1])
    assert same(weights_of(result.model), kept.weights[-1])


@pytest.mark.parametrize("updates", [10, 13, 24])
@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_as_many_selections_as_promised_at_equal_intervals(
    make_trainer: MakeTrainer, task: TinyTask, updates: int, count: int
) -> None:
    """Methods are planned with their number; the last one is at the end, gaps differ by one update at most."""
    scores = make_trainer(task, "finetune", updates, selections=count).run().scores
    steps = [0, *(entry["step"] for entry in scores)]
    gaps = np.diff(steps)
    assert len(scores) == count and steps[-1] == updates and gaps.max() - gaps.min() <= 1


def test_every_stage_has_its_selections(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """Counted within the stage."""
    stages = [Stage("one", (Leg(6),), CrossEntropy()), Stage("two", (Leg(4),), CrossEntropy())]
    scores = make_trainer(task, stages, selections=2).run().scores
    assert [(entry["stage"], entry["step"]) for entry in scores] == [("one", 3), ("one", 6), ("two", 8), ("two", 10)]


def test_stage_two_starts_from_the_best_student_of_stage_one(make_trainer: MakeTrainer, scores_task: TinyTask) -> None:
    """And its own selections start anew: stage I's best score does not shadow stage II's."""
    told_apart = 0
    for seed in SEEDS:
        kept, start = Kept(), []
        first = Stage("annealing", (Leg(20, TeacherRef("random")),), LogitMSE())
        second = Stage("labels", (Leg(4),), CrossEntropy(), start="best")
        options = {"seed": seed, "folder": f"seed-{seed}", "selections": 5, "on_selection": kept}
        trainer = make_trainer(scores_task, [first, second], **options)
        handle = trainer.model.register_forward_pre_hook(_note_first_of_stage_two(trainer, start))
        result = trainer.run()
        handle.remove()
        boundary = kept.steps.index(20) + 1
        best = kept.best(stop=boundary)
        assert same(start[0], kept.weights[best])
        assert same(weights_of(result.model), kept.weights[kept.best(start=boundary)])
        assert result.score == max(kept.scores[boundary:])
        told_apart += best < boundary - 1
    assert told_apart


def _note_first_of_stage_two(trainer: Trainer, found: list[dict[str, Tensor]]) -> Callable[..., None]:
    def note(model: torch.nn.Module, _args: Any) -> None:
        if model.training and trainer.cursor.stage == 1 and not found:
            found.append(weights_of(model))

    return note


def test_a_stage_that_starts_from_the_last_student_does(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """Two stages with start="last" hand over the weights as they are."""
    kept = Kept()
    stages = [Stage("one", (Leg(10),), CrossEntropy()), Stage("two", (Leg(2),), CrossEntropy())]
    trainer = make_trainer(task, stages, budget={"learning_rate": 1e-30}, on_selection=kept)
    trainer.run()
    torch.testing.assert_close(kept.weights[0], kept.weights[1], rtol=0, atol=1e-20)


def test_a_budget_too_small_for_two_stages_still_gives_a_student(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """One update: the stage without updates does not erase the score of the other."""
    result = make_trainer(task, "annealing", 1).run()
    assert 0 <= result.score <= 1
