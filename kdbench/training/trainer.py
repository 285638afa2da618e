"""The one trainer: runs the stages of any method, knows none of them.

Everything random is derived from the seed and the number of the update, so an interrupted training
that goes on from its last checkpoint ends with the same bits as one that was never interrupted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kdbench.budget import Budget
from kdbench.errors import KDBenchError
from kdbench.hashing import derive_seed
from kdbench.machine import release_memory
from kdbench.methods.augment.base import AugmenterContext, AugmenterRun
from kdbench.methods.base import Context, Leg, Outputs, Stage
from kdbench.tasks.metrics import compute_metric
from kdbench.training.checkpoint import CheckpointFolder, optimizer_tensors, restore_optimizer
from kdbench.training.encoding import BatchStream, Encoded, Inputs
from kdbench.training.predict import predict, to_predictions
from kdbench.training.teachers import TeacherBank

LOG_EVERY = 20


class TrainingError(KDBenchError):
    """Training went wrong in a way that no restart will mend."""


@dataclass(frozen=True)
class TrainingData:
    """What the trainer may see: the training split and the selection split carved out of it."""

    train: Encoded
    selection: Encoded
    metric: str
    regression: bool


@dataclass(frozen=True)
class Progress:
    """A moment of a training, for people to watch."""

    stage: str
    step: int
    total: int
    terms: dict[str, float]


@dataclass
class _Cursor:
    """Where the training stands; all of it is in every checkpoint."""

    stage: int = 0
    step: int = 0  # updates done in this stage
    done: int = 0  # updates done in all stages
    best_score: float = -math.inf
    best_step: int = -1
    log: list[str] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves.

    Attributes:
        model: the best student of the last stage, by the selection metric; the later of equals.
        score: its selection score.
        scores: every selection: stage, updates done, score.
        log: lines of JSON, one per ``LOG_EVERY`` updates and selection.
    """

    model: PreTrainedModel
    score: float
    scores: list[dict[str, Any]]
    log: list[str]


class Trainer:
    """Trains one model through stages.

    Args:
        accelerator: device, precision and process group.
        data: training and selection split.
        stages: from :meth:`kdbench.methods.Method.stages`.
        teachers: frozen teachers, or nothing when no stage distills.
        generator: builds the augmenter's generator.
        selections_per_epoch: how often the selection split is looked at.
        on_selection: called with the model after every selection, e.g. to keep a trajectory.
        on_progress: called every ``LOG_EVERY`` updates.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        data: TrainingData,
        stages: list[Stage],
        budget: Budget,
        *,
        learning_rate: float,
        seed: int,
        folder: Path,
        teachers: TeacherBank | None = None,
        generator: Callable[[int], PreTrainedModel] | None = None,
        selections_per_epoch: int = 1,
        on_selection: Callable[[int, int, float, PreTrainedModel], None] | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self.accelerator = accelerator
        self.model = model.to(accelerator.device)
        self.tokenizer = tokenizer
        self.data = data
        self.stages = stages
        self.budget = budget
        self.learning_rate = learning_rate
        self.seed = seed
        self.teachers = teachers
        self.generator = generator
        self.on_selection = on_selection
        self.on_progress = on_progress
        self.checkpoints = CheckpointFolder(folder)
        self.stream = BatchStream(data.train.lengths, budget.batch_size, derive_seed("train", seed))
        self.selections_per_epoch = selections_per_epoch
        self.total = sum(stage.steps for stage in stages)
        self.labels = torch.from_numpy(data.train.labels).to(accelerator.device)
        self.wrapped: Any = accelerator.prepare_model(self.model)
        self._plain_forward = getattr(self.model, "_original_forward", None)
        self.cursor = _Cursor()
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
            self.cursor = _Cursor(**state)
            self.model.load_state_dict(tensors["model"])
            self.best = tensors["best"]
        while self.cursor.stage < len(self.stages):
            self._run_stage(self.stages[self.cursor.stage], resumed[1] if resumed else {})
            resumed = None
        self._last = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.best)
        self._unwrap()
        return TrainingResult(self.model.eval(), self.cursor.best_score, self.cursor.scores, self.cursor.log)

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
        optimizer = self._optimizer()
        augmenter = self._augmenter(stage)
        if cursor.step:
            restore_optimizer(self.model, optimizer, resumed["optimizer"])
            if augmenter:
                augmenter.restore({k: v.to(self.accelerator.device) for k, v in resumed["augmenter"].items()})
        legs = [leg for leg in stage.legs for _ in range(leg.steps)]
        sums: dict[str, Tensor] = {}
        summed = 0
        self.model.train()
        for step in range(cursor.step, stage.steps):
            terms = self._update(stage, legs[step], step, optimizer, augmenter)
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach()
            summed += 1
            cursor.step, cursor.done = step + 1, cursor.done + 1
            at_selection = self._selects_after(cursor.step) or cursor.step == stage.steps
            if cursor.step % LOG_EVERY == 0 or at_selection:
                self._log(stage, sums, summed)
                release_memory()
                sums, summed = {}, 0
            if at_selection:
                self._select(stage)
                if cursor.step < stage.steps:
                    self._save(optimizer, augmenter)
        cursor.stage, cursor.step = cursor.stage + 1, 0
        self._save(None, None)

    def _selects_after(self, step: int) -> bool:
        """Whether ``step`` completes one of the equal parts of an epoch after which the student is scored."""
        parts, epoch = self.selections_per_epoch, self.stream.per_epoch
        return step * parts // epoch > (step - 1) * parts // epoch

    def _update(
        self,
        stage: Stage,
        leg: Leg,
        step: int,
        optimizer: torch.optim.Optimizer,
        augmenter: AugmenterRun | None,
    ) -> dict[str, Tensor]:
        """One update of the student; returns the loss terms."""
        context = Context(self.data.regression, leg.scale, step / stage.steps)
        if augmenter and leg.teacher:
            assert self.teachers is not None
            augmenter.before_update(step, self.teachers.model(leg.teacher))
        rows = self._own_share(self.stream.batch(self.cursor.done))
        inputs = self._to_device(self.data.train.collate(rows))
        index = torch.from_numpy(rows).to(self.accelerator.device)
        torch.manual_seed(derive_seed("update", self.seed, self.cursor.done, self.accelerator.process_index))
        outputs = self._forward(self.wrapped, inputs, stage)
        terms = dict(stage.objective.hard(outputs, self.labels[index], context))
        if stage.distills and leg.teacher:
            teacher = self._teacher_outputs(stage, leg, inputs, None if stage.live_teacher else index)
            soft = stage.objective.soft(outputs, teacher, context)
            if augmenter and soft:
                extra = self._augmented_terms(stage, leg, step, inputs, augmenter, context)
                soft = {name: value / 2 for name, value in soft.items()}
                soft |= {f"augmented_{name}": value / 2 for name, value in extra.items()}
            terms |= soft
        loss = torch.stack(list(terms.values())).sum()
        self.accelerator.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.budget.clip_norm)
        rate = self._learning_rate(step, stage.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return terms

    def _augmented_terms(
        self, stage: Stage, leg: Leg, step: int, inputs: Inputs, augmenter: AugmenterRun, context: Context
    ) -> dict[str, Tensor]:
        augmented = augmenter.augment(inputs, step)
        teacher = self._teacher_outputs(stage, leg, augmented, None)
        return stage.objective.soft(self._forward(self.wrapped, augmented, stage), teacher, context)

    def _teacher_outputs(self, stage: Stage, leg: Leg, inputs: Inputs, cached: Tensor | None) -> Outputs:
        """The teacher on a batch, its logits scaled: from the cache by row numbers, or by running it now."""
        assert self.teachers is not None and leg.teacher is not None
        if cached is not None:
            return Outputs(self.teachers.logits(leg.teacher)[cached] * leg.scale)
        with torch.no_grad(), self.accelerator.autocast():
            outputs = self._forward(self.teachers.model(leg.teacher), inputs, stage)
        return replace(outputs, logits=outputs.logits * leg.scale)

    @staticmethod
    def _forward(model: Any, inputs: Inputs, stage: Stage) -> Outputs:
        result = model(
            **inputs,
            output_hidden_states=stage.needs("hidden_states"),
            output_attentions=stage.needs("attentions"),
        )
        return Outputs(result.logits.float(), result.hidden_states, result.attentions)

    def _select(self, stage: Stage) -> None:
        """Score the selection split; remember the student if none was better in this stage."""
        cursor = self.cursor
        logits = predict(self.model, self.data.selection)
        labels = self.data.selection.labels
        score = compute_metric(self.data.metric, to_predictions(logits, self.data.regression), labels)
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

    def _save(self, optimizer: torch.optim.Optimizer | None, augmenter: AugmenterRun | None) -> None:
        tensors = {"model": dict(self.model.state_dict()), "best": self.best}
        if optimizer:
            tensors["optimizer"] = optimizer_tensors(self.model, optimizer)
        if augmenter:
            tensors["augmenter"] = augmenter.state()
        if self.accelerator.is_main_process:
            self.checkpoints.save(self.cursor.done, asdict(self.cursor), tensors)

    def _optimizer(self) -> torch.optim.Optimizer:
        plain: list[torch.nn.Parameter] = []
        decayed: list[torch.nn.Parameter] = []
        for parameter in self.model.parameters():
            (decayed if parameter.ndim > 1 else plain).append(parameter)
        groups = [
            {"params": decayed, "weight_decay": self.budget.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        fused = self.accelerator.device.type in ("cpu", "cuda")
        return torch.optim.AdamW(groups, lr=self.learning_rate, fused=fused)

    def _augmenter(self, stage: Stage) -> AugmenterRun | None:
        if stage.augmenter is None:
            return None
        assert self.generator is not None
        stream = BatchStream(self.data.train.lengths, self.budget.batch_size, derive_seed("generator", self.seed))
        context = AugmenterContext(
            student=self.model,
            tokenizer=self.tokenizer,
            generator=self.generator,
            batch=lambda number: self._to_device(self.data.train.collate(stream.batch(number))),
            regression=self.data.regression,
            seed=self.seed,
            precision=self.budget.precision,
        )
        return stage.augmenter.start(context)

    def _learning_rate(self, step: int, steps: int) -> float:
        """Linear warm-up, then linear decay towards zero at the end of the stage."""
        warmup = round(self.budget.warmup * steps)
        if step < warmup:
            return self.learning_rate * (step + 1) / (warmup + 1)
        return self.learning_rate * (steps - step) / max(1, steps - warmup)

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
