"""A student cell: train one student (or assistant) with one method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from kdbench.budget import Budget, Updates
from kdbench.cells.common import make_accelerator, report_progress, start_trackers, write_log
from kdbench.cells.data import load_training, model_head, model_spec, new_reader, saved_reader
from kdbench.cells.job import CellResult, Job
from kdbench.errors import MethodError
from kdbench.hashing import derive_seed, digest
from kdbench.inputs.base import Reader
from kdbench.inputs.text import TokenReader
from kdbench.methods.base import Method
from kdbench.methods.registry import METHODS
from kdbench.methods.stages import Checkpoint, TeacherRef, Trajectory
from kdbench.models.build import build_generator, build_model, check_readers
from kdbench.training.generator import warm_up
from kdbench.training.state import TrainingData
from kdbench.training.teachers import TeacherBank
from kdbench.training.trainer import Trainer


def run(job: Job) -> CellResult:
    """Train the student and leave its best weights, by the selection split, in ``model/``."""
    spec, task = job.spec, job.spec["task"]
    budget = Budget.model_validate(spec["budget"])
    student_spec = model_spec(spec["model"], "student")
    reader = new_reader(job, student_spec)
    data = load_training(job, reader)
    head = model_head(task)
    method = _method(job)
    trajectory, folders = _teachers(job)
    check_readers({"student": reader, **_readers(job)})
    updates = Updates.of(budget, len(data.train))
    stages = method.stages(updates, trajectory)
    cost = method.cost(updates, trajectory)
    model = build_model(student_spec, head, job.locations, seed=spec["seed"])
    accelerator = make_accelerator(job, budget)
    start_trackers(accelerator, job)

    def random_teacher() -> PreTrainedModel:
        view = model_spec(spec["random_teacher"], "random-teacher")
        seed = derive_seed("random-teacher", spec["seed"])
        return build_model(view, head, job.locations, seed=seed, random=True)

    device = accelerator.device
    teachers = TeacherBank(job.store.cache, data.train.to(device), device, folders, random_teacher, budget.precision)
    trainer = Trainer(
        accelerator,
        model,
        reader,
        data,
        stages,
        budget,
        learning_rate=budget.learning_rate,
        seed=spec["seed"],
        folder=job.work / "checkpoint",
        teachers=teachers,
        generator=lambda steps: _generator(job, data, reader, steps, budget, device).to(device),
        on_progress=report_progress(job),
    )
    result = trainer.run()
    accelerator.end_training()
    result.model.save_pretrained(job.out / "model", safe_serialization=True)
    reader.save(job.out / "model")
    write_log(job, result.log)
    return CellResult(
        metrics={f"selection_{data.metric}": result.score},
        details={
            "stages": [{"name": stage.name, "updates": stage.steps, "legs": len(stage.legs)} for stage in stages],
            "selections": result.scores,
            "train_examples": len(data.train),
            "selection_examples": len(data.selection),
        },
        cost={
            "student_updates": cost.student_updates,
            "examples": cost.student_updates * budget.batch_size,
            "live_teacher_updates": result.live_teacher_updates,
            "cached_teacher_examples": result.cached_teacher_examples,
            "generator_updates": cost.generator_updates,
            "assistants": cost.assistants,
            **({"adversarial_passes": cost.adversarial_passes} if cost.adversarial_passes else {}),
        },
    )


def _method(job: Job) -> Method:
    """The method of the spec; plugin files are taken from the store, by digest."""
    views = job.spec["method"]
    for view in views:
        if view["source"].startswith("plugin:"):
            METHODS.load_plugin(job.store.root / "plugins" / f"{view['source'][7:]}.py")
        found = METHODS.source(view["name"])
        if found != view["source"]:
            raise MethodError(f"method {view['name']}: planned with {view['source']}, but {found} is installed here")
    settings = {view["name"]: view["config"] for view in views}
    return METHODS.build("+".join(view["name"] for view in views), settings, job.spec["task"]["kind"])


def _teachers(job: Job) -> tuple[Trajectory, dict[TeacherRef, tuple[str, Path]]]:
    """The teacher's trajectory and where every teacher's files are."""
    upstream: dict[str, Any] = job.spec["upstream"]
    folders: dict[TeacherRef, tuple[str, Path]] = {}
    checkpoints: list[Checkpoint] = []
    if upstream["teacher"]:
        cell = job.store.cell(upstream["teacher"])
        for entry in json.loads((cell / "trajectory.json").read_text(encoding="utf-8")):
            checkpoints.append(Checkpoint(entry["index"], entry["epoch"], entry["step"], entry["score"]))
            folder = cell / "checkpoints" / f"{entry['index']:03d}"
            folders[TeacherRef("checkpoint", entry["index"])] = (upstream["teacher"], folder)
    for index, key in enumerate(upstream["assistants"]):
        folders[TeacherRef("assistant", index)] = (key, job.store.cell(key) / "model")
        if not checkpoints:  # a link of a chain of assistants: the one before it is its whole teacher
            folders[TeacherRef("checkpoint", 0)] = folders[TeacherRef("assistant", index)]
    if not checkpoints:  # methods without a trained teacher still ask which checkpoint is best
        checkpoints = [Checkpoint(0, 0.0, 0, 0.0)]
    return Trajectory(tuple(checkpoints), len(upstream["assistants"])), folders


def _readers(job: Job) -> dict[str, Reader]:
    """How everything that is fed the student's inputs reads them, by role."""
    found: dict[str, Reader] = {}
    for role, key in (("teacher", job.spec["upstream"]["teacher"]), *_named_assistants(job)):
        if key:
            found[role] = saved_reader(job, job.store.cell(key))
    for role in ("generator", "random_teacher"):
        if job.spec[role]:
            found[role] = new_reader(job, model_spec(job.spec[role], role))
    return found


def _named_assistants(job: Job) -> list[tuple[str, str]]:
    return [(f"assistant {index}", key) for index, key in enumerate(job.spec["upstream"]["assistants"])]


def _generator(
    job: Job,
    data: TrainingData,
    reader: Reader,
    steps: int,
    budget: Budget,
    device: torch.device,
) -> PreTrainedModel:
    """The pair's generator, warmed up where it has no masked-LM head; the warm-up is shared by all cells."""
    assert isinstance(reader, TokenReader)
    view = job.spec["generator"]
    model, trained_head = build_generator(model_spec(view, "generator"), job.locations, seed=0)
    if trained_head or not steps:
        return model

    def produce(folder: Path) -> None:
        job.report({"stage": "generator warm-up", "step": 0, "total": steps, "terms": {}})
        history = warm_up(
            model.to(device),
            data.train,
            reader.tokenizer,
            steps=steps,
            seed=0,
            batch_size=budget.batch_size,
            precision=budget.precision,
        )
        tail = sum(history[-10:]) / len(history[-10:])
        (folder / "warm-up.json").write_text(json.dumps({"first": history[0], "last": tail}), encoding="utf-8")
        save_file({k: v.contiguous().clone() for k, v in model.state_dict().items()}, folder / "model.safetensors")

    key = {
        "generator": view,
        "data": job.spec["task"]["data"]["fingerprint"],
        "task": digest(job.spec["task"]),
        "max_train": budget.max_train,
        "batch_size": budget.batch_size,
        "precision": budget.precision,
        "threads": budget.threads,
        "steps": steps,
    }
    folder = job.store.cache.get("generator", key, produce)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model
