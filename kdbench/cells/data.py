"""Loading what a spec describes: a dataset's rows, a task's training data, a finished model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from kdbench.artifacts import ArtifactCache
from kdbench.cells.job import Job
from kdbench.errors import DataError, ModelError
from kdbench.hashing import file_digest
from kdbench.inputs.base import Reader
from kdbench.inputs.images import ImageReader
from kdbench.inputs.spans import SpanReader
from kdbench.inputs.text import TextReader
from kdbench.locations import Locations
from kdbench.methods.kinds import modality
from kdbench.models.build import Head, load_model, load_tokenizer
from kdbench.models.spec import ModelSource, ModelSpec
from kdbench.tasks.dataset import ImageExamples, SpanExamples, TextExamples, carve_selection, to_examples
from kdbench.tasks.questions import to_questions
from kdbench.tasks.sources import Located, locate, read
from kdbench.tasks.spec import Columns, DataSource, ImageFormat, RawLabel, SpanFormat, head_width
from kdbench.training.data import training_data
from kdbench.training.state import TrainingData

AnyExamples = TextExamples | SpanExamples | ImageExamples


def load_examples(job: Job, view: dict[str, Any], task: dict[str, Any]) -> AnyExamples:
    """The rows that a dataset view of a spec describes.

    Args:
        task: whose classes are used when the set has none of its own.

    Raises:
        DataError: the data is not what it was when the cell was planned, or cannot be had.
    """
    columns = Columns.model_validate(view["columns"])
    labels = view["labels"] or task["labels"]
    return read_examples(planned_location(job, view), columns, labels, dict(view["label_map"]), task, job.locations)


def read_examples(
    located: Located,
    columns: Columns,
    labels: Sequence[str],
    label_map: dict[RawLabel, str],
    task: Mapping[str, Any],
    locations: Locations,
) -> AnyExamples:
    """The rows of one split that was found.

    Args:
        labels: classes in the order of their indices.
        label_map: raw label -> class.
        task: the view of a task in a spec.

    Raises:
        DataError: the data cannot be had, or is not what the task needs.
    """
    where = located.source.describe(located.split)
    table = read(located, locations)
    if task["kind"] == "question-answering":
        return to_questions(table, columns, unanswerable=task["spans"]["unanswerable"], where=where)
    return to_examples(table, columns, labels, label_map, where)


def load_training(job: Job, reader: Reader) -> TrainingData:
    """Training and selection split of the job's task, encoded. The reported split is out of reach."""
    task = job.spec["task"]
    examples = load_examples(job, task["data"], task)
    selection = task["selection"]
    train, held = carve_selection(examples, selection["fraction"], selection["max_examples"])
    train = train.sample(job.spec["budget"]["max_train"], "train-limit")
    return training_data(task, selection["metric"], train, held, reader)


def load_trained(job: Job) -> tuple[PreTrainedModel, Reader]:
    """The model that an evaluation judges, in fp32, on the CPU, and how it reads."""
    folder = job.upstream("model")
    if not (folder / "model" / "config.json").is_file():
        raise ModelError(f"{folder}: holds no trained model")
    return load_model(folder / "model"), saved_reader(job, folder)


def saved_reader(job: Job, folder: Path) -> Reader:
    """How the model of a finished cell reads the examples of the job's task."""
    saved = partial(AutoTokenizer.from_pretrained, folder / "model", use_fast=True, trust_remote_code=False)
    return make_reader(job.spec["task"], saved, job.store.cache)


def new_reader(job: Job, spec: ModelSpec) -> Reader:
    """How a model that is about to be trained reads the examples of the job's task."""
    return make_reader(job.spec["task"], partial(load_tokenizer, spec, job.locations), job.store.cache, trains=True)


def make_reader(
    task: Mapping[str, Any],
    tokenizer: Callable[[], PreTrainedTokenizerBase],
    cache: ArtifactCache | None,
    *,
    trains: bool = False,
) -> Reader:
    """How models read the examples of a task.

    Args:
        task: the view of a task in a spec.
        tokenizer: loads it, which models of images do without.
        cache: keeps the windows of questions.
        trains: whether a model is trained on what is read.
    """
    form = image_format(task)
    if form is not None:
        return ImageReader(form)
    if task["kind"] == "question-answering":
        spans = SpanFormat.model_validate(task["spans"])
        return SpanReader(tokenizer(), task["max_length"], spans, cache, trains)
    return TextReader(tokenizer(), task["max_length"])


def image_format(task: Mapping[str, Any]) -> ImageFormat | None:
    """What image models of the task read; nothing for texts."""
    return ImageFormat.model_validate(task["image"]) if modality(task["kind"]) == "image" else None


def model_head(task: dict[str, Any]) -> Head:
    """What models of the task put out."""
    return Head(task["kind"], head_width(task["kind"], task["labels"]), image_format(task))


def model_spec(view: dict[str, Any], name: str) -> ModelSpec:
    """The model a spec describes, as the builders want it."""
    source = ModelSource.model_validate(view["source"])
    return ModelSpec(name=name, source=source, layers=view["layers"], fingerprint=view["fingerprint"])


def planned_location(job: Job, view: dict[str, Any]) -> Located:
    """Where the data of a dataset view is now.

    Raises:
        DataError: it is gone, or not what it was when the run was planned.
    """
    fingerprint, split = view["fingerprint"], view["split"]
    hint = job.paths.get(fingerprint)
    if hint and Path(hint).is_file():
        path = Path(hint)
        source = DataSource.model_validate(view["source"] or {"files": {split: path}})
        if f"sha256:{file_digest(path)}" != fingerprint:
            raise DataError(f"{path}: changed after the run was planned: run again")
        return Located(source, split, fingerprint, path)
    if not view["source"]:
        raise DataError(f"the data file of split '{split}' is not where it was planned: run again from its suite")
    found = locate(DataSource.model_validate(view["source"]), split, job.locations)
    if not found.missing and found.fingerprint != fingerprint:
        raise DataError(f"{found.source.describe(split)}: is another version than planned: run again")
    return found
