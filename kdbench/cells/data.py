"""Loading what a spec describes: a dataset's rows, a task's training data, a finished model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedModel

from kdbench.cells.job import Job
from kdbench.errors import DataError, ModelError
from kdbench.hashing import file_digest
from kdbench.inputs.base import Reader
from kdbench.inputs.images import ImageReader
from kdbench.inputs.text import TextReader
from kdbench.locations import Locations
from kdbench.methods.kinds import modality
from kdbench.models.build import load_classifier, load_tokenizer
from kdbench.models.spec import ModelSource, ModelSpec
from kdbench.tasks.dataset import ImageExamples, TextExamples, carve_selection, to_examples
from kdbench.tasks.sources import Located, locate, read
from kdbench.tasks.spec import Columns, DataSource, ImageFormat
from kdbench.training.state import TrainingData


def load_examples(job: Job, view: dict[str, Any], task: dict[str, Any]) -> TextExamples | ImageExamples:
    """The rows that a dataset view of a spec describes.

    Args:
        task: whose classes are used when the set has none of its own.

    Raises:
        DataError: the data is not what it was when the cell was planned, or cannot be had.
    """
    located = planned_location(job, view)
    where = located.source.describe(view["split"]) if view["source"] else str(located.path)
    columns = Columns.model_validate(view["columns"])
    labels = view["labels"] or task["labels"]
    return to_examples(read(located, job.locations), columns, labels, dict(view["label_map"]), where)


def load_training(job: Job, reader: Reader) -> TrainingData:
    """Training and selection split of the job's task, encoded. The reported split is out of reach."""
    task = job.spec["task"]
    examples = load_examples(job, task["data"], task)
    selection = task["selection"]
    train, held = carve_selection(examples, selection["fraction"], selection["max_examples"])
    train = train.sample(job.spec["budget"]["max_train"], "train-limit")
    return TrainingData(
        train=reader.encode(train),
        selection=reader.encode(held),
        metric=selection["metric"],
        regression=task["kind"] == "text-regression",
    )


def load_trained(folder: Path, task: dict[str, Any]) -> tuple[PreTrainedModel, Reader]:
    """The model a finished teacher or student cell is judged by, in fp32, on the CPU, and how it reads."""
    if not (folder / "model" / "config.json").is_file():
        raise ModelError(f"{folder}: holds no trained model")
    return load_classifier(folder / "model"), saved_reader(folder, task)


def saved_reader(folder: Path, task: dict[str, Any]) -> Reader:
    """How the model of a finished cell reads examples."""
    form = image_format(task)
    if form is not None:
        return ImageReader(form)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model", use_fast=True, trust_remote_code=False)
    return TextReader(tokenizer, task["max_length"])


def new_reader(spec: ModelSpec, task: dict[str, Any], locations: Locations) -> Reader:
    """How a model that is about to be trained reads examples."""
    form = image_format(task)
    if form is not None:
        return ImageReader(form)
    return TextReader(load_tokenizer(spec, locations), task["max_length"])


def image_format(task: dict[str, Any]) -> ImageFormat | None:
    """What image models of the task read; nothing for texts."""
    return ImageFormat.model_validate(task["image"]) if modality(task["kind"]) == "image" else None


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
