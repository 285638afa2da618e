"""A teacher cell: train a teacher and keep its footsteps."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

from transformers import PreTrainedModel

from kdbench.budget import Budget, Updates
from kdbench.cells.common import make_accelerator, report_progress, start_trackers, write_log
from kdbench.cells.data import load_training, model_head, model_spec, new_reader
from kdbench.cells.job import CellResult, Job
from kdbench.errors import ModelError
from kdbench.methods.objectives import CrossEntropy
from kdbench.methods.schedules import constant
from kdbench.methods.stages import Stage
from kdbench.models.build import build_model
from kdbench.training.state import TrainingData
from kdbench.training.trainer import Trainer


class LabelMapError(ModelError):
    """A teacher that is worse than chance on its own task: its labels are swapped, or it learnt nothing."""


def run(job: Job) -> CellResult:
    """Train, leave one checkpoint per selection in ``checkpoints/`` and the best one in ``model/``.

    Raises:
        LabelMapError: the best checkpoint is not above chance by the task's margin.
    """
    spec, task = job.spec, job.spec["task"]
    budget = Budget.model_validate(spec["budget"])
    model_view = model_spec(spec["model"], "teacher")
    reader = new_reader(job, model_view)
    data = load_training(job, reader)
    model = build_model(model_view, model_head(task), job.locations, seed=spec["seed"])
    updates = Updates.of(budget.model_copy(update={"epochs": budget.teacher_epochs}), len(data.train))
    trajectory = job.work / "trajectory"
    accelerator = make_accelerator(job, budget)
    start_trackers(accelerator, job)

    def keep(index: int, step: int, score: float, current: PreTrainedModel) -> None:
        folder = trajectory / f"{index:03d}"
        shutil.rmtree(folder, ignore_errors=True)
        current.save_pretrained(folder, safe_serialization=True)

    trainer = Trainer(
        accelerator,
        model,
        reader,
        data,
        [Stage("teacher", constant(updates.total), CrossEntropy())],
        budget,
        learning_rate=budget.teacher_learning_rate,
        seed=spec["seed"],
        folder=job.work / "checkpoint",
        selections=budget.trajectory_length,
        on_selection=keep,
        on_progress=report_progress(job),
    )
    result = trainer.run()
    accelerator.end_training()
    checkpoints = [
        {
            "index": index,
            "step": entry["step"],
            "epoch": round(entry["step"] / updates.per_epoch, 4),
            "score": entry["selection"],
        }
        for index, entry in enumerate(result.scores)
    ]
    _check_labels(spec, data, max(entry["score"] for entry in checkpoints))
    best = max(checkpoints, key=lambda entry: (entry["score"], -entry["index"]))
    shutil.copytree(trajectory, job.out / "checkpoints", copy_function=_link)
    shutil.copytree(trajectory / f"{best['index']:03d}", job.out / "model", copy_function=_link)
    reader.save(job.out / "model")
    (job.out / "trajectory.json").write_text(json.dumps(checkpoints, indent=1), encoding="utf-8")
    write_log(job, result.log)
    return CellResult(
        metrics={f"selection_{data.metric}": best["score"]},
        details={
            "best_checkpoint": best["index"],
            "train_examples": len(data.train),
            "selection_examples": len(data.selection),
        },
        cost={"teacher_updates": updates.total, "examples": updates.total * budget.batch_size},
    )


def _link(source: str, target: str) -> None:
    """A second name for the same bytes where the file system has that: checkpoints are large."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _check_labels(spec: dict[str, Any], data: TrainingData, score: float) -> None:
    """See :func:`kdbench.training.data.training_data` for what chance is."""
    margin, chance = spec["chance_margin"], data.chance
    if chance is not None and score < chance + margin:
        raise LabelMapError(
            f"teacher on {spec['task']['name']}: {data.metric} {score:.3f} on the selection split is below chance + "
            f"margin ({chance:.3f} + {margin:.3f}): check label_map and columns, or give it more training"
        )
