"""Tiny trainings for checks: the real trainer, models of a few thousand weights, sentences that ship."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from kdbench.artifacts import ArtifactCache
from kdbench.budget import Budget, Updates
from kdbench.hashing import file_digest
from kdbench.inputs.base import Reader
from kdbench.inputs.images import ImageReader
from kdbench.inputs.spans import SpanReader
from kdbench.inputs.text import TextReader
from kdbench.locations import Locations
from kdbench.methods.base import Method
from kdbench.methods.kinds import Kind, modality
from kdbench.methods.stages import TeacherRef, Trajectory
from kdbench.models.build import Head, build_generator, build_model
from kdbench.models.spec import ModelSource, ModelSpec, NetSpec, TinyBert
from kdbench.models.tiny import tiny_tokenizer
from kdbench.tasks.dataset import Examples, carve_selection, to_examples
from kdbench.tasks.packaged.optdigits import SOURCE as OPTDIGITS
from kdbench.tasks.questions import to_questions
from kdbench.tasks.spec import Columns, ImageFormat, SpanFormat
from kdbench.training.data import training_data
from kdbench.training.state import TrainingData
from kdbench.training.teachers import TeacherBank
from kdbench.training.trainer import Trainer

SENTENCES = Path(__file__).parent / "data" / "sentences.jsonl"
QUESTIONS = Path(__file__).parent / "data" / "questions.jsonl"
_BUDGET = Budget(batch_size=8, learning_rate=1e-2)
_NOWHERE = Locations(offline=True)
_FORMAT = ImageFormat(size=8, channels=1, mean=(0.3,), std=(0.4,), crop=1)
_DIGITS = ("0", "1", "2", "3")
_SPANS = SpanFormat(stride=8, max_question=16, max_answer=8, n_best=5, unanswerable=True)
_OUTPUTS = {
    "text-classification": 2,
    "text-regression": 1,
    "image-classification": len(_DIGITS),
    "question-answering": 2,
}


@dataclass(frozen=True)
class TinyTask:
    """A tiny task with a teacher's trajectory and an assistant on disk."""

    data: TrainingData
    reader: Reader
    head: Head
    folders: dict[TeacherRef, tuple[str, Path]]
    trajectory: Trajectory
    scratch: Path

    @property
    def kind(self) -> Kind:
        """Of the task."""
        return self.head.kind

    @property
    def per_epoch(self) -> int:
        """Updates in an epoch."""
        return Updates.of(_BUDGET, len(self.data.train)).per_epoch

    def teacher_digests(self) -> list[str]:
        """Fingerprints of all teachers' weights on disk."""
        return [file_digest(folder / "model.safetensors") for _, folder in self.folders.values()]


@dataclass(frozen=True)
class TinyRun:
    """What one tiny training left."""

    weights: bytes
    unmoved: list[str] = field(default_factory=list)
    teacher_gradients: bool = False


def tiny_task(kind: Kind, scratch: Path, checkpoints: int) -> TinyTask:
    """Build the tiny task of one kind, its teachers with random weights."""
    reader, examples = _tiny_examples(kind, scratch)
    head = Head(kind, _OUTPUTS[kind], _FORMAT)
    data = _tiny_data(kind, reader, examples)
    refs = [TeacherRef("checkpoint", index) for index in range(checkpoints)] + [TeacherRef("assistant", 0)]
    folders = {}
    for number, ref in enumerate(refs):
        folder = scratch / f"teacher-{number}"
        _tiny_model(head, 3, seed=100 + number).save_pretrained(folder)
        folders[ref] = (f"tiny-{number}", folder)
    trajectory = Trajectory(Trajectory.nominal(checkpoints).checkpoints, assistants=1)
    return TinyTask(data, reader, head, folders, trajectory, scratch)


def train(method: Method, task: TinyTask, *, seed: int, updates: int) -> TinyRun:
    """One tiny training with the real trainer."""
    model = _tiny_model(task.head, 2, seed)
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    with tempfile.TemporaryDirectory(dir=task.scratch) as folder:
        teachers = TeacherBank(
            ArtifactCache(Path(folder) / "cache"),
            task.data.train,
            torch.device("cpu"),
            task.folders,
            lambda: _tiny_model(task.head, 3, seed=7),
        )
        trainer = Trainer(
            Accelerator(cpu=True),
            model,
            task.reader,
            task.data,
            method.stages(Updates(updates, task.per_epoch), task.trajectory),
            _BUDGET,
            learning_rate=_BUDGET.learning_rate,
            seed=seed,
            folder=Path(folder) / "checkpoint",
            teachers=teachers,
            generator=lambda _: _tiny_generator(),
        )
        trainer.run()
    last = trainer.last_weights()
    held = teachers.loaded
    return TinyRun(
        weights=b"".join(np.ascontiguousarray(value.numpy()).tobytes() for value in last.values()),
        unmoved=[name for name, _ in model.named_parameters() if torch.equal(last[name], initial[name])],
        teacher_gradients=held is not None and any(p.grad is not None for p in held.parameters()),
    )


def _tiny_data(kind: str, reader: Reader, examples: Examples) -> TrainingData:
    train, selection = carve_selection(examples, 0.2, 100)
    metric = {"text-regression": "pearson", "question-answering": "token_f1"}.get(kind, "accuracy")
    view = {"kind": kind, "labels": range(_OUTPUTS[kind]), "spans": _SPANS.model_dump()}
    return training_data(view, metric, train, selection, reader)


def _tiny_examples(kind: str, scratch: Path) -> tuple[Reader, Examples]:
    """Digits of four classes, sentences with a label and a score, or questions about paragraphs."""
    if kind == "question-answering":
        table = pd.read_json(QUESTIONS, lines=True)
        columns = Columns(text="question", text_pair="context", label="answers")
        questions = to_questions(table, columns, unanswerable=True, where=QUESTIONS.name)
        return SpanReader(tiny_tokenizer(), 64, _SPANS), questions
    if modality(kind) == "image":
        (_, _, table), *_others = OPTDIGITS.parse(scratch)
        table = table[table["label"] < len(_DIGITS)].head(160)
        return ImageReader(_FORMAT), to_examples(table, Columns(image="image"), _DIGITS, {}, "optdigits")
    regression = kind == "text-regression"
    columns = Columns(text="text", label="score" if regression else "label")
    labels = [] if regression else ["negative", "positive"]
    table = pd.read_json(SENTENCES, lines=True)
    return TextReader(tiny_tokenizer(), 64), to_examples(table, columns, labels, {}, SENTENCES.name)


def _tiny_model(head: Head, layers: int, seed: int) -> PreTrainedModel:
    source = ModelSource(tiny=TinyBert(layers=layers, hidden=16))
    if modality(head.kind) == "image":
        source = ModelSource(net=NetSpec(family="resnet", depth=8, base=4 * (layers - 1)))
    spec = ModelSpec(name="tiny", source=source)
    return build_model(spec, head, _NOWHERE, seed=seed)


def _tiny_generator() -> PreTrainedModel:
    spec = ModelSpec(name="tiny", source=ModelSource(tiny=TinyBert(layers=1, hidden=16)))
    return build_generator(spec, _NOWHERE, seed=0)[0]
