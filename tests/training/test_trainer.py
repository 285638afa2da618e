"""What the trainer cannot see, what it says, and what stops it."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.checks.training import TinyTask
from kdbench.methods import Context, CrossEntropy, Leg, Outputs, Stage
from kdbench.training.state import TrainingData, TrainingError
from tests.training.watching import (
    MakeTrainer,
    same,
    terms_of,
)


@dataclass(frozen=True)
class Exploding(CrossEntropy):
    """Finite until a share of the stage is done."""

    after: float = 0.5

    def hard(self, student: Outputs, labels: Tensor, context: Context) -> dict[str, Tensor]:
        """Times infinity, later."""
        terms = super().hard(student, labels, context)
        return {"hard": terms["hard"] * (float("inf") if context.progress >= self.after else 1.0)}


def test_a_loss_that_is_not_finite_stops_the_training(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """The message names stage, update and term; the last good checkpoint stays."""
    updates = 3 * task.per_epoch
    trainer = make_trainer(task, [Stage("boom", (Leg(updates),), Exploding())])
    with pytest.raises(TrainingError, match=r"not finite at update \d+ of stage boom: hard=(inf|nan)") as caught:
        trainer.run()
    found = re.search(r"update (\d+)", str(caught.value))
    assert found and updates / 2 < int(found[1]) <= 2 * task.per_epoch
    saved = trainer.checkpoints.load()
    assert saved is not None and saved[0]["done"] == task.per_epoch


def test_training_data_has_no_place_for_the_reported_split() -> None:
    """Two splits, how the second is scored, what chance would score, and the kind: nothing else can be handed over."""
    assert [field.name for field in dataclasses.fields(TrainingData)] == [
        "train",
        "selection",
        "metric",
        "score",
        "regression",
        "chance",
    ]


def test_labels_of_the_selection_split_change_the_choice_but_not_the_training(
    make_trainer: MakeTrainer, task: TinyTask
) -> None:
    """Every update is the same when selection labels are swapped: nothing is trained on them."""
    selection = dataclasses.replace(task.data.selection, labels=1 - task.data.selection.labels)
    swapped = dataclasses.replace(task, data=dataclasses.replace(task.data, selection=selection))
    trainers = [make_trainer(task, "kd", 12), make_trainer(swapped, "kd", 12, folder="swapped")]
    results = [trainer.run() for trainer in trainers]
    assert same(trainers[0].last_weights(), trainers[1].last_weights())
    one, two = ([entry["selection"] for entry in result.scores] for result in results)
    assert [a + b for a, b in zip(one, two, strict=True)] == pytest.approx([1.0] * len(one))


def test_progress_is_reported_to_the_end(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """Steps rise to the total over all stages."""
    seen = []
    trainer = make_trainer(task, "annealing", 24, on_progress=seen.append)
    trainer.run()
    steps = [moment.step for moment in seen]
    assert steps == sorted(steps) and steps[-1] == 24 and {moment.total for moment in seen} == {24}
    assert [moment.stage for moment in seen if moment.step in (19, 24)] == ["annealing", "labels"]


def test_the_log_averages_the_terms_since_the_line_before(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """One line an epoch here: the mean over its updates, not the last value."""
    values: list[float] = []

    @dataclass(frozen=True)
    class Noting(CrossEntropy):
        def hard(self, student: Outputs, labels: Tensor, context: Context) -> dict[str, Tensor]:
            terms = super().hard(student, labels, context)
            values.append(terms["hard"].item())
            return terms

    result = make_trainer(task, [Stage("one", (Leg(2 * task.per_epoch),), Noting())]).run()
    means = [np.mean(values[: task.per_epoch]), np.mean(values[task.per_epoch :])]
    assert [terms["hard"] for terms in terms_of(result.log)] == pytest.approx(means, rel=1e-5)


class HiddenStates(CrossEntropy):
    """Wants hidden states, and keeps what it was given."""

    uses_teacher = True
    needs_hidden_states = True
    seen: ClassVar[list[tuple[Outputs, Outputs]]] = []

    def soft(self, student: Outputs, teacher: Outputs, context: Context) -> dict[str, Tensor]:
        """Nothing but looking."""
        self.seen.append((student, teacher))
        return {}


def test_an_objective_gets_the_hidden_states_it_asks_for(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """Of both models on the same batch; the teacher's scaled logits are those of the cache."""
    HiddenStates.seen.clear()
    ref = task.trajectory.final
    stages = [Stage("hidden", (Leg(2, ref, 0.5),), HiddenStates())]
    trainer = make_trainer(task, stages)
    trainer.run()
    rows = trainer.stream.batch(0)
    student, teacher = HiddenStates.seen[0]
    assert student.hidden_states is not None and teacher.hidden_states is not None
    assert (len(student.hidden_states), len(teacher.hidden_states)) == (2 + 1, 3 + 1)
    assert student.hidden_states[-1].shape == teacher.hidden_states[-1].shape
    assert not teacher.hidden_states[-1].requires_grad and student.hidden_states[-1].requires_grad
    assert torch.allclose(teacher.logits, 0.5 * trainer.teaching.bank.logits(ref)[rows], atol=1e-5)
