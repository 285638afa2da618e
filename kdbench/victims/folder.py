"""Loading a saved model for a task, its own or a foreign one; whatever does not fit is refused in one line.

Pickles are never read and remote code is never trusted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoModelForImageClassification,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kdbench.attacks.fingerprints import folder_fingerprint
from kdbench.cells.data import make_reader
from kdbench.errors import ModelError
from kdbench.evaluation_plan import task_view
from kdbench.inputs.base import Reader
from kdbench.models.convnet import ConvNet, ConvNetConfig
from kdbench.tasks.spec import TaskSpec
from kdbench.victims.labels import ClassOrder, match_classes
from kdbench.victims.pixels import with_preprocessing

_HEADS: dict[str, tuple[str, Any]] = {
    "text-classification": ("ForSequenceClassification", AutoModelForSequenceClassification),
    "question-answering": ("ForQuestionAnswering", AutoModelForQuestionAnswering),
    "image-classification": ("ForImageClassification", AutoModelForImageClassification),
}
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "*.bpe.model")
_LOAD: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True)
class Victim:
    """A model ready to be attacked.

    Attributes:
        model: in fp32 and evaluation mode, on the CPU.
        reader: how it reads the task's examples.
        order: which of its outputs stands for which class; nothing of models that answer questions.
        fingerprint: of its files.
        warnings: doubts, one sentence each.
    """

    model: nn.Module
    reader: Reader
    order: ClassOrder | None
    fingerprint: str
    warnings: tuple[str, ...] = field(default=())


def load_victim(folder: Path, task: TaskSpec, labels: tuple[str, ...] = ()) -> Victim:
    """Load a model directory, or the model of a cell in a store of kdbench.

    Args:
        folder: as ``save_pretrained`` or a cell leaves it.
        task: of one of the kinds that can be attacked.
        labels: names of the task's classes in the order of the model's outputs; the model's own names when empty.

    Raises:
        ModelError: it is no model, or none for this task.
    """
    home = folder if (folder / "config.json").is_file() else folder / "model"
    config = _read_config(home, folder)
    _check_weights(home)
    own = config.get("model_type") == ConvNetConfig.model_type
    _check_head(home, config, task, own=own)
    order = None
    if task.kind != "question-answering":
        order = _class_order(home, config, task, labels)
    elif labels:
        raise ModelError("--labels: a model that answers questions has no classes")
    model = _load_weights(home, ConvNet if own else _HEADS[task.kind][1])
    reader = make_reader(task_view(task), partial(_load_tokenizer, home, model), None)
    if own:
        _check_size(home, model, task)
    fitted: nn.Module = model
    if task.image is not None and not own:
        fitted = with_preprocessing(model, home, task.image)
    warnings = (order.warning,) if order is not None and order.warning else ()
    return Victim(fitted.eval(), reader, order, folder_fingerprint(home), warnings)


def _read_config(home: Path, folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((home / "config.json").read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(
            f"{folder}: holds no config.json: name a directory that save_pretrained wrote, or a cell of a store"
        ) from None
    except ValueError as error:
        raise ModelError(f"{home / 'config.json'}: is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise ModelError(f"{home / 'config.json'}: is no configuration of a model: not a JSON object")
    if not isinstance(config.get("id2label") or {}, dict):
        raise ModelError(f"{home / 'config.json'}: id2label must be an object, names of the classes by their numbers")
    return config


def _check_weights(home: Path) -> None:
    if any(home.glob("*.safetensors")):
        return
    pickles = [path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in sorted(home.glob(pattern))]
    found = f"only {', '.join(pickles)}, and pickles are not read" if pickles else "no weights"
    raise ModelError(f"{home}: holds {found}: save the model with safe_serialization=True")


def _check_head(home: Path, config: dict[str, Any], task: TaskSpec, *, own: bool) -> None:
    """Refuse models of another kind before anything is loaded."""
    suffix, _ = _HEADS[task.kind]
    name = next(iter(config.get("architectures") or []), "")
    fits = task.kind == "image-classification" if own else not name or suffix in name
    if not fits:
        raise ModelError(f"{home}: is a {name}; task {task.name} needs a model {suffix}")
    problem = config.get("problem_type")
    if task.kind != "question-answering" and (
        problem in ("regression", "multi_label_classification") or _num_labels(config) == 1
    ):
        what = "several labels at once" if problem == "multi_label_classification" else "a score"
        raise ModelError(f"{home}: its head puts out {what}; task {task.name} needs one of {len(task.labels)} classes")


def _num_labels(config: dict[str, Any]) -> int:
    """As transformers derives it: two unless told."""
    return len(config["id2label"]) if config.get("id2label") else int(config.get("num_labels", 2))


def _class_order(home: Path, config: dict[str, Any], task: TaskSpec, labels: tuple[str, ...]) -> ClassOrder:
    count = _num_labels(config)
    if labels:
        if len(labels) != count:
            raise ModelError(f"--labels: names {len(labels)} classes, but {home} has {count}")
        return match_classes(labels, task.labels, source="--labels", sure=True)
    trained = _trained_classes(home.parent / "record.json")
    if trained:
        return match_classes(trained, task.labels, source=str(home), sure=True)
    given = config.get("id2label") or {}
    names = [str(given.get(str(index), f"LABEL_{index}")) for index in range(count)]
    return match_classes(names, task.labels, source=str(home))


def _trained_classes(record: Path) -> tuple[str, ...]:
    """The classes of the task that a cell was trained on; none if the model is of no cell."""
    try:
        return tuple(json.loads(record.read_text(encoding="utf-8"))["spec"]["task"]["labels"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _load_weights(home: Path, factory: Any) -> PreTrainedModel:
    try:
        model, info = factory.from_pretrained(
            home, use_safetensors=True, output_loading_info=True, dtype="float32", **_LOAD
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{home}: cannot be loaded: {line}") from error
    missing = [*info["missing_keys"], *(entry[0] for entry in info["mismatched_keys"])]
    if missing:
        some = ", ".join(sorted(missing)[:3]) + (", …" if len(missing) > 3 else "")
        raise ModelError(f"{home}: the weights lack {some}: the model was not trained for this kind of task")
    return model


def _check_size(home: Path, model: PreTrainedModel, task: TaskSpec) -> None:
    assert task.image is not None
    reads, has = (model.config.channels, model.config.size), (task.image.channels, task.image.size)
    if reads != has:
        raise ModelError(
            f"{home}: the model reads images of {reads[0]} channels and {reads[1]} pixels, "
            f"those of task {task.name} have {has[0]} and {has[1]}"
        )


def _load_tokenizer(home: Path, model: PreTrainedModel) -> PreTrainedTokenizerBase:
    """The tokenizer beside a model; it never makes more tokens than the model has positions for."""
    if not any(path for pattern in _TOKENIZER_FILES for path in home.glob(pattern)):
        raise ModelError(f"{home}: holds no tokenizer: save the one that the model was trained with beside it")
    try:
        tokenizer = AutoTokenizer.from_pretrained(home, use_fast=True, **_LOAD)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{home}: its tokenizer cannot be loaded: {line}") from error
    if tokenizer.pad_token_id is None:
        raise ModelError(f"{home}: its tokenizer has no padding token: set one (pad_token) and save it again")
    known = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > known:
        raise ModelError(f"{home}: its tokenizer has {len(tokenizer)} tokens, the model only {known}: not of one kind")
    positions = getattr(model.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    return tokenizer
