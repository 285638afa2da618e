"""The trainer: budgets, losses, selection, stages, learning rates, and what it cannot see."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from kdbench.budget import Updates
from kdbench.checks.training import TinyTask
from kdbench.inputs.base import Inputs
from kdbench.methods import Context, CrossEntropy, KDObjective, Leg, LogitMSE, Outputs, Stage
from kdbench.methods.augment.base import AugmenterContext, Batch
from kdbench.methods.registry import METHODS
from kdbench.methods.stages import TeacherRef
from kdbench.models.build import load_model
from kdbench.training.predict import predict
from kdbench.training.state import TrainingData, TrainingError
from kdbench.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]
BEST = TeacherRef("checkpoint", 2)
SEEDS = range(1, 5)
"""Seeds for tests that need a training whose best student is not its last, which one of them has."""
FAST = {"mate": {"generator_steps": 2, "student_steps": 5}, "combined": {"generator_steps": 2, "student_steps": 5}}


@dataclass
class Steps:
    """Optimizer steps seen while a block ran: the student's and everybody else's."""

    student: int = 0
    others: int = 0
    rates: list[float] = dataclasses.field(default_factory=list)
    norms: list[float] = dataclasses.field(default_factory=list)
    others_at: list[int] = dataclasses.field(default_factory=list)


@contextmanager
def _counting(trainer: Trainer) -> Iterator[Steps]:
    """Watch every optimizer of the process through torch's global hook."""
    steps = Steps()
    own = {id(parameter) for parameter in trainer.model.parameters()}

    def note(optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if id(parameters[0]) not in own:
            steps.others += 1
            steps.others_at.append(steps.student)
            return
        steps.student += 1
        steps.rates.append(optimizer.param_groups[0]["lr"])
        steps.norms.append(float(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm()))

    handle = register_optimizer_step_pre_hook(note)
    try:
        yield steps
    finally:
        handle.remove()


def _weights(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(value, right[name]) for name, value in left.items())


def _ce(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def _terms(log: list[str]) -> list[dict[str, float]]:
    """Loss terms of every line of a log that has some."""
    lines = [json.loads(line) for line in log]
    return [{k: v for k, v in line.items() if k not in ("stage", "step")} for line in lines if "selection" not in line]


# --- budget ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["finetune", "kd", "annealing", "prokd", "continuation", "combined"])
def test_every_method_makes_exactly_the_updates_of_the_budget(
    make_trainer: MakeTrainer, task: TinyTask, method: str
) -> None:
    """Counted where they happen: in the optimizer."""
    trainer = make_trainer(task, method, 13, settings=FAST)
    with _counting(trainer) as steps:
        result = trainer.run()
    assert steps.student == 13 == result.scores[-1]["step"]


@pytest.mark.parametrize("method", ["mate", "combined", "annealing+mate"])
def test_the_generator_trains_as_often_as_the_cost_says_and_never_in_stage_two(
    make_trainer: MakeTrainer, task: TinyTask, method: str
) -> None:
    """Defect 5: two updates for every started five of the stages that have the augmenter, at their starts."""
    trainer = make_trainer(task, method, 16, settings=FAST)
    augmented = sum(stage.steps for stage in trainer.stages if stage.augmenter)
    with _counting(trainer) as steps:
        trainer.run()
    cost = METHODS.build(method, FAST).cost(Updates(16, task.per_epoch), task.trajectory)
    assert steps.others == cost.generator_updates == 2 * -(-augmented // 5)
    assert steps.others_at == sorted([*range(0, augmented, 5)] * 2)
    assert method == "mate" or max(steps.others_at) < augmented < 16


def test_the_generator_rests_where_its_output_is_not_used(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """Defect 5 again: Continuation-KD's last third looks at labels only."""
    trainer = make_trainer(task, "continuation+mate", 15, settings=FAST)
    with _counting(trainer) as steps:
        trainer.run()
    assert steps.student == 15 and set(steps.others_at) == {0, 5}
    cost = METHODS.build("continuation+mate", FAST).cost(Updates(15, task.per_epoch), task.trajectory)
    assert (cost.live_teacher_updates, cost.generator_updates) == (10, steps.others)


# --- losses ---------------------------------------------------------------------------------------


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

        return _terms(result.log)[0], task.data.train.labels[rows], logits

    return run


def test_first_update_of_kd(task: TinyTask, first_update: Any) -> None:
    """α·CE and (1-α)·T²·KL of the first batch, from models run by hand."""
    found, labels, logits = first_update(task, Stage("kd", (Leg(1, BEST),), KDObjective(0.3, 2.0)))
    student, teacher = logits()
    p, q = softmax(teacher / 2, axis=1), softmax(student / 2, axis=1)
    soft = 0.7 * 4 * (p * np.log(p / q)).sum(1).mean()
    assert found == pytest.approx({"hard": 0.3 * _ce(student, labels), "soft": soft}, rel=1e-4)


def test_first_update_of_annealing_scales_the_teacher_only(task: TinyTask, first_update: Any) -> None:
    """MSE(zS, Φ·zT)."""
    found, _, logits = first_update(task, Stage("annealing", (Leg(1, BEST, 1 / 7),), LogitMSE()))
    student, teacher = logits()
    assert found == pytest.approx({"soft": ((student - teacher / 7) ** 2).mean()}, rel=1e-4)


def test_first_update_of_mate_is_made_of_three_thirds(task: TinyTask, first_update: Any) -> None:
    """1/3·CE + 1/3·D on x + 1/3·D on x'."""
    (stage,) = METHODS.build("mate").stages(Updates(1, 1), task.trajectory)
    found, labels, logits = first_update(task, dataclasses.replace(stage, augmenter=Backwards(0.5)))
    expected = {"hard": _ce(logits()[0], labels) / 3}
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


# --- selection ------------------------------------------------------------------------------------


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
        self.weights.append(_weights(model))

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
        assert _same(_weights(result.model), kept.weights[best]) and not result.model.training
        assert _same(trainer.last_weights(), kept.weights[-1])
        told_apart += best < len(kept.scores) - 1
    assert told_apart


def test_of_equal_students_the_later_one_is_kept(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """A learning rate so small that accuracy never changes: the last one has trained most."""
    kept = Kept()
    trainer = make_trainer(task, "kd", 15, budget={"learning_rate": 1e-7}, selections=3, on_selection=kept)
    result = trainer.run()
    assert len(set(kept.scores)) == 1 and not _same(kept.weights[0], kept.weights[-1])
    assert _same(_weights(result.model), kept.weights[-1])


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
        assert _same(start[0], kept.weights[best])
        assert _same(_weights(result.model), kept.weights[kept.best(start=boundary)])
        assert result.score == max(kept.scores[boundary:])
        told_apart += best < boundary - 1
    assert told_apart


def _note_first_of_stage_two(trainer: Trainer, found: list[dict[str, Tensor]]) -> Callable[..., None]:
    def note(model: torch.nn.Module, _args: Any) -> None:
        if model.training and trainer.cursor.stage == 1 and not found:
            found.append(_weights(model))

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


# --- the optimizer --------------------------------------------------------------------------------


def test_learning_rate_warms_up_and_falls_in_every_stage(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """Warm-up over a fifth of the updates, then linear; each stage has its own schedule and optimizer."""
    stages = [Stage("one", (Leg(10),), CrossEntropy()), Stage("two", (Leg(5),), CrossEntropy())]
    trainer = make_trainer(task, stages, budget={"warmup": 0.2, "learning_rate": 0.03})
    with _counting(trainer) as steps:
        trainer.run()
    first = [1 / 3, 2 / 3, *(k / 8 for k in range(8, 0, -1))]
    second = [1 / 2, *(k / 4 for k in range(4, 0, -1))]
    assert steps.rates == pytest.approx([0.03 * share for share in first + second])


def test_gradients_are_clipped(make_trainer: MakeTrainer, task: TinyTask) -> None:
    """To the budget's norm; with a large one they are left alone."""
    norms = []
    for clip in (1e-3, 1e9):
        trainer = make_trainer(task, "finetune", 3, folder=str(clip), budget={"clip_norm": clip})
        with _counting(trainer) as steps:
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


# --- trouble --------------------------------------------------------------------------------------


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


# --- what it sees and says ------------------------------------------------------------------------


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
    assert _same(trainers[0].last_weights(), trainers[1].last_weights())
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
    assert [terms["hard"] for terms in _terms(result.log)] == pytest.approx(means, rel=1e-5)


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
