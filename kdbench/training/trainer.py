"""The one trainer: runs the stages of any method, knows none of them.

Everything random is derived from the seed and the number of the update, so an interrupted training
that goes on from its last checkpoint ends with the same bits as one that was never interrupted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import PreTrainedModel

from kdbench.budget import Budget
from kdbench.hashing import derive_seed
from kdbench.inputs.base import Inputs, Reader
from kdbench.inputs.stream import BatchStream
from kdbench.machine import release_memory
from kdbench.methods.augment.base import AugmenterContext, AugmenterRun, Batch
from kdbench.methods.contract import Context, Objective, ObjectiveSetup, Outputs, TrainableObjective
from kdbench.methods.stages import Stage
from kdbench.models.projections import enable_attentions
from kdbench.training.checkpoint import CheckpointFolder, optimizer_tensors, restore_optimizer
from kdbench.training.forward import forward, repeat_outputs, stacked
from kdbench.training.optimizers import learning_rate_at, make_optimizer
from kdbench.training.predict import predict
from kdbench.training.state import Cursor, Progress, TrainingData, TrainingError, TrainingResult
from kdbench.training.teachers import TeacherBank
from kdbench.training.teaching import Teaching

LOG_EVERY = 20


@dataclass(frozen=True)
class _Running:
    """A stage at work.

    Attributes:
        objective: the stage's own, or the module it started.
        cached: for each update, whether the teacher's logits on original inputs come from the cache.
    """

    stage: Stage
    objective: Objective
    optimizer: torch.optim.Optimizer
    augmenter: AugmenterRun | None
    cached: list[bool]

    @property
    def module(self) -> nn.Module:
        """The objective's own weights and memory; empty for most."""
        return self.objective if isinstance(self.objective, nn.Module) else nn.Module()


class Trainer:
    """Trains one model through stages.

    Args:
        accelerator: device, precision and process group.
        reader: how the model reads examples.
        data: training and selection split.
        stages: from :meth:`kdbench.methods.Method.stages`.
        teachers: frozen teachers, or nothing when no stage distills.
        generator: builds the augmenter's generator.
        selections: how often the selection split is looked at in every stage, at equal intervals, the last one at
            its end; once an epoch when nothing is said.
        on_selection: called with the model after every selection, e.g. to keep a trajectory.
        on_progress: called every ``LOG_EVERY`` updates.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: PreTrainedModel,
        reader: Reader,
        data: TrainingData,
        stages: list[Stage],
        budget: Budget,
        *,
        learning_rate: float,
        seed: int,
        folder: Path,
        teachers: TeacherBank | None = None,
        generator: Callable[[int], PreTrainedModel] | None = None,
        selections: int | None = None,
        on_selection: Callable[[int, int, float, PreTrainedModel], None] | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self.accelerator = accelerator
        self.model = model.to(accelerator.device)
        self.reader = reader
        device = accelerator.device
        self.data = replace(data, train=data.train.to(device), selection=data.selection.to(device))
        self.stages = stages
        self.budget = budget
        self.learning_rate = learning_rate
        self.seed = seed
        self.generator = generator
        self.on_selection = on_selection
        self.on_progress = on_progress
        self.checkpoints = CheckpointFolder(folder)
        self.stream = BatchStream(data.train.lengths, budget.batch_size, derive_seed("train", seed))
        self.teaching = Teaching(teachers, self.data.train, self.stream.per_epoch, seed, accelerator.autocast)
        self.selections = selections
        self.total = sum(stage.steps for stage in stages)
        self.labels = torch.from_numpy(data.train.labels).to(accelerator.device)
        self.wrapped: Any = accelerator.prepare_model(self.model)
        self._plain_forward = getattr(self.model, "_original_forward", None)
        self.cursor = Cursor()
        self.best: dict[str, Tensor] = {}
        self._last: dict[str, Tensor] = {}

    def run(self) -> TrainingResult:
        """Train from the start, or from the last checkpoint of an interrupted run.

        Raises:
            TrainingError: the loss is not finite.
        """
        resumed = self.checkpoints.load()
        if resumed:
            state, tensors = resumed
            self.cursor = Cursor(**state)
            self.model.load_state_dict(tensors["model"])
            self.best = tensors["best"]
            self.teaching.live_updates = self.cursor.live_teacher_updates
        while self.cursor.stage < len(self.stages):
            self._run_stage(self.stages[self.cursor.stage], resumed[1] if resumed else {})
            resumed = None
        self._last = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.best)
        self._unwrap()
        cursor = self.cursor
        return TrainingResult(
            self.model.eval(),
            cursor.best_score,
            cursor.scores,
            cursor.log,
            cursor.live_teacher_updates,
            cursor.cached_teacher_examples,
        )

    def last_weights(self) -> dict[str, Tensor]:
        """The student as it was after its last update, whether that was its best or not."""
        return self._last

    def _run_stage(self, stage: Stage, resumed: dict[str, dict[str, Tensor]]) -> None:
        cursor = self.cursor
        if not stage.steps:
            cursor.stage += 1
            return
        if cursor.step == 0:
            if stage.start == "best" and self.best:
                self.model.load_state_dict(self.best)
            cursor.best_score, cursor.best_step = -math.inf, -1
        running = self._start(stage, resumed)
        sums: dict[str, Tensor] = {}
        summed = 0
        self.model.train()
        for step in range(cursor.step, stage.steps):
            terms = self._update(running, step)
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach()
            summed += 1
            cursor.step, cursor.done = step + 1, cursor.done + 1
            cursor.live_teacher_updates = self.teaching.live_updates
            at_selection = self._selects_after(cursor.step, stage.steps)
            if cursor.step % LOG_EVERY == 0 or at_selection:
                self._log(stage, sums, summed)
                release_memory()
                sums, summed = {}, 0
            if at_selection:
                self._select(stage)
                if cursor.step < stage.steps:
                    self._save(running)
        cursor.stage, cursor.step = cursor.stage + 1, 0
        self._save(None)

    def _start(self, stage: Stage, resumed: dict[str, dict[str, Tensor]]) -> _Running:
        """Set a stage up, or up again where an interrupted one stopped."""
        objective = self._objective(stage)
        module = objective if isinstance(objective, nn.Module) else nn.Module()
        parameters = [*self.model.parameters(), *module.parameters()]
        optimizer = make_optimizer(parameters, self.budget, self.learning_rate, self.accelerator.device)
        first = self.cursor.done - self.cursor.step
        cached = self.teaching.plan(stage, first)
        running = _Running(stage, objective, optimizer, self._augmenter(stage), cached)
        if not self.cursor.step:
            self.cursor.cached_teacher_examples += self.teaching.cached_examples(stage, first, cached)
        else:
            restore_optimizer(self.model, optimizer, resumed["optimizer"])
            restore_optimizer(module, optimizer, resumed["objective_optimizer"])
            module.load_state_dict(resumed["objective"])
            if running.augmenter:
                running.augmenter.restore({k: v.to(self.accelerator.device) for k, v in resumed["augmenter"].items()})
        return running

    def _objective(self, stage: Stage) -> Objective:
        """The stage's objective; one with weights of its own is built for the shapes at hand."""
        if stage.needs("attentions"):
            enable_attentions(self.model)
        objective = stage.objective
        if not isinstance(objective, TrainableObjective):
            return objective
        if self.accelerator.num_processes > 1:
            raise TrainingError(f"stage {stage.name}: an objective with weights of its own trains in one process only")
        leg = next(leg for leg in stage.legs if leg.teacher)
        inputs = self._to_device(self.data.train.collate(self.stream.batch(0)[:2]))
        self.model.eval()
        with torch.no_grad():
            student = forward(self.model, inputs, stage)
            target = forward(self.teaching.model(stage, leg), inputs, stage)
        seed = derive_seed("objective", self.seed, self.cursor.stage)
        torch.manual_seed(seed)
        module: Any = objective.start(ObjectiveSetup(student, target, self.labels, seed))
        return module.to(self.accelerator.device).train()  # type: ignore[no-any-return]

    def _selects_after(self, step: int, steps: int) -> bool:
        """Whether the student is scored after ``step`` of the ``steps`` updates of a stage."""
        parts = self.selections or max(1, round(steps / self.stream.per_epoch))
        return step * parts // steps > (step - 1) * parts // steps

    def _update(self, running: _Running, step: int) -> dict[str, Tensor]:
        """One update of the student; returns the loss terms."""
        stage, leg, augmenter = running.stage, running.stage.each_leg[step], running.augmenter
        if augmenter and leg.teacher:
            augmenter.before_update(step, self.teaching.model_when_asked(stage, leg))
        rows = self._own_share(self.stream.batch(self.cursor.done))
        view = self.teaching.view(self.cursor.done)
        inputs = self._to_device(self.data.train.collate(rows, view))
        index = torch.from_numpy(rows).to(self.accelerator.device)
        seed = derive_seed("update", self.seed, self.cursor.done, self.accelerator.process_index)
        context = Context(
            regression=self.data.regression,
            scale=leg.scale,
            progress=step / stage.steps,
            labels=self.labels[index],
            rows=index,
            inputs=inputs,
            seed=seed,
        )
        torch.manual_seed(seed)
        outputs = forward(self.wrapped, inputs, stage)
        terms = dict(running.objective.hard(outputs, self.labels[index], context))
        if stage.distills and leg.teacher:
            if running.cached[step]:
                teacher = self.teaching.cached_answers(leg, torch.from_numpy(rows), view, inputs)
            else:
                teacher = self.teaching.answers(stage, leg, inputs)
            share = stage.augmenter.share if stage.augmenter else 0.0
            soft = running.objective.soft(outputs, teacher, context) if share < 1 else {}
            terms |= {name: (1 - share) * value for name, value in soft.items()}
            if augmenter and (soft or share == 1):
                terms |= self._augmented_terms(running, step, context, teacher)
        loss = torch.stack(list(terms.values())).sum()
        self.accelerator.backward(loss)
        parameters = [*self.model.parameters(), *running.module.parameters()]
        torch.nn.utils.clip_grad_norm_(parameters, self.budget.clip_norm)
        rate = learning_rate_at(step, stage.steps, self.budget, self.learning_rate)
        for group in running.optimizer.param_groups:
            group["lr"] = rate
        running.optimizer.step()
        running.optimizer.zero_grad(set_to_none=True)
        return terms

    def _augmented_terms(self, running: _Running, step: int, context: Context, teacher: Outputs) -> dict[str, Tensor]:
        """The soft terms on the augmented inputs, weighted with their share."""
        stage, leg = running.stage, running.stage.each_leg[step]
        assert running.augmenter and stage.augmenter and context.labels is not None and context.rows is not None
        model = self.teaching.model_when_asked(stage, leg)
        batch = Batch(dict(context.inputs), context.labels, teacher, model)
        augmented = running.augmenter.augment(batch, step)
        views = len(next(iter(augmented.values()))) // len(context.labels)
        if stage.augmenter.teacher_reads == "augmented":
            target = self.teaching.answers(stage, leg, augmented)
        else:
            target = repeat_outputs(teacher, views)
        labels, rows = stacked(context.labels, views), stacked(context.rows, views)
        moment = replace(context, inputs=augmented, labels=labels, rows=rows)
        soft = running.objective.soft(forward(self.wrapped, augmented, stage), target, moment)
        return {f"augmented_{name}": stage.augmenter.share * value for name, value in soft.items()}

    def _select(self, stage: Stage) -> None:
        """Score the selection split; remember the student if none was better in this stage."""
        cursor = self.cursor
        score = self.data.score(predict(self.model, self.data.selection))
        if score >= cursor.best_score:
            cursor.best_score, cursor.best_step = score, cursor.done
            self.best = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
        entry = {"stage": stage.name, "step": cursor.done, "selection": score}
        cursor.scores.append(entry)
        cursor.log.append(json.dumps(entry))
        if self.on_selection:
            self.on_selection(len(cursor.scores) - 1, cursor.done, score, self.model)

    def _log(self, stage: Stage, sums: dict[str, Tensor], count: int) -> None:
        terms = {name: value.item() / count for name, value in sums.items()}
        if not all(math.isfinite(value) for value in terms.values()):
            shown = ", ".join(f"{name}={value}" for name, value in terms.items())
            raise TrainingError(f"the loss is not finite at update {self.cursor.done} of stage {stage.name}: {shown}")
        line = {"stage": stage.name, "step": self.cursor.done, **{name: float(f"{v:.6g}") for name, v in terms.items()}}
        self.cursor.log.append(json.dumps(line))
        self.accelerator.log(terms, step=self.cursor.done)
        self.on_progress(Progress(stage.name, self.cursor.done, self.total, terms))

    def _save(self, running: _Running | None) -> None:
        tensors = {"model": dict(self.model.state_dict()), "best": self.best}
        if running:
            tensors["optimizer"] = optimizer_tensors(self.model, running.optimizer)
            tensors["objective"] = dict(running.module.state_dict())
            tensors["objective_optimizer"] = optimizer_tensors(running.module, running.optimizer)
            if running.augmenter:
                tensors["augmenter"] = running.augmenter.state()
        if self.accelerator.is_main_process:
            self.checkpoints.save(self.cursor.done, asdict(self.cursor), tensors)

    def _augmenter(self, stage: Stage) -> AugmenterRun | None:
        if stage.augmenter is None:
            return None
        stream = BatchStream(self.data.train.lengths, self.budget.batch_size, derive_seed("generator", self.seed))
        context = AugmenterContext(
            student=self.model,
            reader=self.reader,
            generator=self.generator or _no_generator,
            batch=lambda number: self._to_device(self.data.train.collate(stream.batch(number))),
            regression=self.data.regression,
            seed=self.seed,
            precision=self.budget.precision,
        )
        return stage.augmenter.start(context)

    def _own_share(self, rows: Any) -> Any:
        """This process's rows of a batch; all of them unless several processes train together."""
        count = self.accelerator.num_processes
        return rows if count == 1 else rows[self.accelerator.process_index :: count]

    def _to_device(self, inputs: Inputs) -> Inputs:
        device = self.accelerator.device
        return {name: value.to(device, non_blocking=True) for name, value in inputs.items()}

    def _unwrap(self) -> None:
        """Give the model its own forward back, without autocast."""
        if self._plain_forward is not None:
            self.model.forward = self._plain_forward


def _no_generator(_: int) -> PreTrainedModel:
    raise TrainingError("the augmenter asks for a generator, and the training was given none")
