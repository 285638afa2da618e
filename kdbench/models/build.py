"""Building models and tokenizers from specs. Remote code is never trusted, pickles are never read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from kdbench.errors import ModelError
from kdbench.hashing import derive_seed, file_digest
from kdbench.inputs.base import Reader
from kdbench.locations import Locations
from kdbench.methods.kinds import Kind
from kdbench.models.convnet import ConvNet, ConvNetConfig, with_noise_statistics
from kdbench.models.locate import LocatedModel, locate_model
from kdbench.models.spec import ModelSpec
from kdbench.models.tiny import tiny_config, tiny_tokenizer
from kdbench.tasks.spec import ImageFormat

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

_SAFE: dict[str, Any] = {"trust_remote_code": False}


def load_tokenizer(spec: ModelSpec, locations: Locations) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to a model.

    Raises:
        ModelError: its files cannot be had, or it is not a fast tokenizer.
    """
    located = _require(spec, locations)
    if spec.source.tiny is not None:
        return tiny_tokenizer()
    try:
        tokenizer = AutoTokenizer.from_pretrained(**_where(located), use_fast=True, **_SAFE)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{spec.name}: the tokenizer of {spec.source.title} cannot be loaded: {_first_line(error)}"
        ) from error
    if not tokenizer.is_fast:
        raise ModelError(f"{spec.name}: {spec.source.title} has no fast tokenizer")
    return tokenizer


@dataclass(frozen=True)
class Head:
    """What a model is to put out.

    Attributes:
        kind: of the task.
        outputs: width: classes, 1 for regression, 2 for question answering (start and end of the answer).
        image: what an image network reads.
    """

    kind: Kind
    outputs: int
    image: ImageFormat | None = None


def build_model(
    spec: ModelSpec, head: Head, locations: Locations, *, seed: int, random: bool = False
) -> PreTrainedModel:
    """A model with the spec's initial weights and layers, and a fresh head.

    Args:
        seed: of the head, and of everything when there are no pretrained weights.
        random: ignore the pretrained weights, keep the architecture; an image network gets the batch statistics of
            noise, without which its activations would grow from block to block.

    Raises:
        ModelError: files are missing or wrong, or a layer does not exist.
    """
    located = _require(spec, locations)
    torch.manual_seed(derive_seed("init", seed))
    if spec.source.net is not None:
        assert head.image is not None
        form = head.image.model_dump(include={"channels", "size", "mean", "std"})
        net = ConvNet(ConvNetConfig(**spec.source.net.model_dump(), **form, num_labels=head.outputs))
        return with_noise_statistics(net) if random else net
    factory: Any = AutoModelForSequenceClassification
    options: dict[str, Any] = {"num_labels": head.outputs, "problem_type": "single_label_classification"}
    if head.kind == "text-regression":
        options["problem_type"] = "regression"
    elif head.kind == "question-answering":
        factory, options = AutoModelForQuestionAnswering, {"num_labels": head.outputs}
    if spec.source.tiny is not None:
        config: PretrainedConfig = tiny_config(spec.source.tiny.layers, spec.source.tiny.hidden)
        config.update(options)
        model = factory.from_config(config)
    elif random:
        try:
            config = AutoConfig.from_pretrained(**_where(located), **options, **_SAFE)
        except (OSError, ValueError) as error:
            raise ModelError(f"{spec.name}: {spec.source.title} cannot be loaded: {_first_line(error)}") from error
        model = factory.from_config(config)
    else:
        model = _pretrained(factory, spec, located, options)[0]
    return _keep_layers(model, spec)


def build_generator(spec: ModelSpec, locations: Locations, *, seed: int) -> tuple[PreTrainedModel, bool]:
    """A masked-LM generator, and whether its head came with trained weights.

    Raises:
        ModelError: as :func:`build_model`.
    """
    located = _require(spec, locations)
    torch.manual_seed(derive_seed("generator", seed))
    if spec.source.tiny is not None:
        config = tiny_config(spec.source.tiny.layers, spec.source.tiny.hidden)
        return _keep_layers(AutoModelForMaskedLM.from_config(config), spec), False
    model, missing = _pretrained(AutoModelForMaskedLM, spec, located, {})
    prefix = f"{model.base_model_prefix}."
    return _keep_layers(model, spec), all(name.startswith(prefix) for name in missing)


def load_model(folder: Path) -> PreTrainedModel:
    """A finished model from a cell of the store, in fp32 and evaluation mode."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    factory: Any = AutoModelForSequenceClassification
    if config.get("model_type") == ConvNetConfig.model_type:
        factory = ConvNet
    elif any("ForQuestionAnswering" in name for name in config.get("architectures", [])):
        factory = AutoModelForQuestionAnswering
    model = factory.from_pretrained(folder, use_safetensors=True, local_files_only=True, **_SAFE)
    return model.eval()


def check_readers(readers: dict[str, Reader]) -> None:
    """All models of a pair must read the same inputs.

    Args:
        readers: by the role each plays.

    Raises:
        ModelError: naming the first two that differ.
    """
    (first, reference), *others = readers.items()
    for role, reader in others:
        difference = reference.differs(reader)
        if difference:
            raise ModelError(f"{first} and {role} {difference}")


def _first_line(error: Exception) -> str:
    """The libraries add paragraphs of advice, some of it to trust remote code."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _require(spec: ModelSpec, locations: Locations) -> LocatedModel:
    located = locate_model(spec.source, locations)
    if located.missing:
        raise ModelError(f"{spec.name}: {located.missing}")
    if spec.fingerprint and located.fingerprint != spec.fingerprint:
        raise ModelError(f"{spec.name}: {spec.source.title} is not the version it was planned with: run again")
    return located


def _where(located: LocatedModel) -> dict[str, Any]:
    if located.path is not None:
        return {"pretrained_model_name_or_path": str(located.path), "local_files_only": True}
    return {"pretrained_model_name_or_path": located.source.hub, "revision": located.source.revision}


def _pretrained(
    factory: Any, spec: ModelSpec, located: LocatedModel, options: dict[str, Any]
) -> tuple[PreTrainedModel, list[str]]:
    if located.path is not None and spec.source.sha256:
        found = file_digest(located.path / "model.safetensors")
        if found != spec.source.sha256:
            raise ModelError(f"{spec.name}: {located.path / 'model.safetensors'} is not the pinned file ({found})")
    try:
        model, info = factory.from_pretrained(
            **_where(located), **options, **_SAFE, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"{spec.name}: {spec.source.title} cannot be loaded: {_first_line(error)}") from error
    return model, list(info["missing_keys"])


def _keep_layers(model: PreTrainedModel, spec: ModelSpec) -> PreTrainedModel:
    if spec.layers is None:
        return model
    encoder = getattr(model.base_model, "encoder", None) or getattr(model.base_model, "transformer", None)
    name = "layer" if hasattr(encoder, "layer") else "layers"
    layers = getattr(encoder, name, None)
    if not isinstance(layers, nn.ModuleList):
        raise ModelError(f"{spec.name}: no list of encoder layers in {type(model).__name__} to choose from")
    if not spec.layers or max(spec.layers) >= len(layers) or min(spec.layers) < 0:
        raise ModelError(f"{spec.name}: layers {list(spec.layers)} do not exist, {spec.source.title} has {len(layers)}")
    setattr(encoder, name, nn.ModuleList([layers[index] for index in spec.layers]))
    model.config.num_hidden_layers = len(spec.layers)
    return model
