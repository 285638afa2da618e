"""What a training spends: updates of the student, of generators, and at which learning rate."""

from __future__ import annotations

import pytest
import torch

from kdbench.budget import Updates
from kdbench.checks.training import TinyTask
from kdbench.methods import CrossEntropy, Leg, Stage
from kdbench.methods.registry import METHODS
from tests.training.watching import (
    FAST,
    MakeTrainer,
    counting,
)


@pytest.mark.parametrize("method", ["finetune", "kd", "annealing", "prokd", "continuation", "combined"])
def test_every_method_makes_exactly_the_updates_of_the_budget(
    make_trainer: MakeTrainer, task: TinyTask, method: str
) -> None:
    """Counted where they happen: in the optimizer."""
    trainer = make_trainer(task, method, 13, settings=FAST)
    with counting(trainer) as steps:
        result = trainer.run()
    assert steps.student == 13 == result.scores[-1]["step"]


@pytest.mark.parametrize("method", ["mate", "combined", "annealing+mate"])
def test_the_generator_trains_as_often_as_the_cost_says_and_never_in_stage_two(
    make_trainer: MakeTrainer, task: TinyTask, method: str
) -> None:
    """Defect 5: two updates for every started five of the stages that have the augmenter, at their starts."""
    trainer = make_trainer(task, method, 16, settings=FAST)
    augmented = sum(stage.steps for stage in trainer.stages if stage.augmenter)
    with counting(trainer) as steps:
        trainer.run()
    cost = METHODS.build(method, FAST).cost(Updates(16, task.per_epoch), task.trajectory)
    assert steps.others == cost.generator_updates == 2 * -(-augmented // 5)
    assert steps.others_at == sorted([*range(0, augmented, 5)] * 2)
    assert method == "mate" or max(steps.others_at) < augmented < 16


def test_the_generator_rests_where_its_output_is_not_used(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """Defect 5 again: Continuation-KD's last third looks at labels only."""
    trainer = make_trainer(task, "continuation+mate", 15, settings=FAST)
    with counting(trainer) as steps:
        trainer.run()
    assert steps.student == 15 and set(steps.others_at) == {0, 5}
    cost = METHODS.build("continuation+mate", FAST).cost(Updates(15, task.per_epoch), task.trajectory)
    assert (cost.live_teacher_updates, cost.generator_updates) == (10, steps.others)


def test_learning_rate_warms_up_and_falls_in_every_stage(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """Warm-up over a fifth of the updates, then linear; each stage has its own schedule and optimizer."""
    stages = [Stage("one", (Leg(10),), CrossEntropy()), Stage("two", (Leg(5),), CrossEntropy())]
    trainer = make_trainer(task, stages, budget={"warmup": 0.2, "learning_rate": 0.03})
    with counting(trainer) as steps:
        trainer.run()
    first = [1 / 3, 2 / 3, *(k / 8 for k in range(8, 0, -1))]
    second = [1 / 2, *(k / 4 for k in range(4, 0, -1))]
    assert steps.rates == pytest.approx([0.03 * share for share in first + second])


def test_gradients_are_clipped(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """To the budget's norm; with a large one they are left alone."""
    norms = []
    for clip in (1e-3, 1e9):
        trainer = make_trainer(task, "finetune", 3, folder=str(clip), budget={"clip_norm": clip})
        with counting(trainer) as steps:
            trainer.run()
        norms.append(steps.norms)
    assert norms[0] == pytest.approx([1e-3] * 3, rel=1e-3) and min(norms[1]) > 1e-2


def test_weight_decay_shrinks_matrices_but_not_biases_and_norms(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """Seen in an update whose gradients are all but nothing."""
    weights = {}
    for decay in (0.0, 10.0):
        model_trainer = make_trainer(task, "finetune", 1, folder=str(decay), budget={"weight_decay": decay})
        model_trainer.run()
        weights[decay] = model_trainer.last_weights()
    changed = {name for name in weights[0.0] if not torch.equal(weights[0.0][name], weights[10.0][name])}
    assert changed == {name for name, value in weights[0.0].items() if value.ndim > 1 and value.is_floating_point()}
