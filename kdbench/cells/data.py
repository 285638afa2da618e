"""Loading what a spec describes: a dataset's rows, a task's training data, a finished model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from kdbench.cells.job import Job
from kdbench.errors import DataError, ModelError
from kdbench.hashing import file_digest
from kdbench.models.build import load_classifier
from kdbench.models.spec import ModelSource, ModelSpec
from kdbench.tasks.dataset import Examples, carve_selection, to_examples
from kdbench.tasks.sources import Located, locate, read
from kdbench.tasks.spec import Columns, DataSource
from kdbench.training.encoding import encode
from kdbench.training.trainer import TrainingData


def load_examples(job: Job, view: dict[str, Any], labels: list[str]) -> Examples:
    """The rows that a dataset view of a spec describes.

    Args:
        labels: the task's classes, used when the set has none of its own.

    Raises:
        DataError: the data is not what it was when the cell was planned, or cannot be had.
    """
    located = _located(job, view)
    where = located.source.describe(view["split"]) if view["source"] else str(located.path)
    columns = Columns.model_validate(view["columns"])
    return to_examples(read(located, job.locations), columns, view["labels"] or labels, dict(view["label_map"]), where)


def load_training(job: Job, tokenizer: PreTrainedTokenizerBase) -> TrainingData:
    """Training and selection split of the job's task, tokenised. The reported split is out of reach."""
    task = job.spec["task"]
    examples = load_examples(job, task["data"], task["labels"])
    selection = task["selection"]
    train, held = carve_selection(examples, selection["fraction"], selection["max_examples"])
    train = train.sample(job.spec["budget"]["max_train"], "train-limit")
    length = task["max_length"]
    return TrainingData(
        train=encode(train, tokenizer, length),
        selection=encode(held, tokenizer, length),
        metric=selection["metric"],
        regression=task["kind"] == "text-regression",
    )


def load_trained(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model a finished teacher or student cell is judged by, in fp32, on the CPU, with its tokenizer."""
    if not (folder / "model" / "config.json").is_file():
        raise ModelError(f"{folder}: holds no trained model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model", use_fast=True, trust_remote_code=False)
    return load_classifier(folder / "model"), tokenizer


def model_spec(view: dict[str, Any], name: str) -> ModelSpec:
    """The model a spec describes, as the builders want it."""
    source = ModelSource.model_validate(view["source"])
    return ModelSpec(name=name, source=source, layers=view["layers"], fingerprint=view["fingerprint"])


def _located(job: Job, view: dict[str, Any]) -> Located:
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
