"""Encoders whose head reads the first token only: their last layer need not say anything about the others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from kdbench.inputs.base import Inputs
from kdbench.inputs.run import logits_of, run

_ROUNDING = 1e-4
"""As a share of the largest logit."""


@contextlib.contextmanager
def only_first_token(model: PreTrainedModel) -> Iterator[None]:
    """While it is open, the last layer goes on with the first token alone, from its attention on.

    Everything behind the attention works on each token by itself, and it is three quarters of a layer's work: of
    three layers a quarter is saved, of two three eighths. For encoders built as BERT is; others are left as they
    are. Whether the head reads other tokens is not known here: see :func:`reads_first_token_only`.
    """
    output = _output_of_last_attention(model)
    if output is None:
        yield
        return
    handle = output.register_forward_pre_hook(_first)
    try:
        yield
    finally:
        handle.remove()


@torch.inference_mode()
def reads_first_token_only(model: PreTrainedModel, inputs: Inputs) -> bool:
    """Whether :func:`only_first_token` leaves the logits of these inputs as they are, up to rounding."""
    if _output_of_last_attention(model) is None:
        return False
    whole = logits_of(run(model, inputs), inputs)
    try:
        with only_first_token(model):
            part = logits_of(run(model, inputs), inputs)
    except (RuntimeError, IndexError, ValueError):  # a head that asks for what is no longer there
        return False
    scale = float(whole.abs().max())
    return whole.shape == part.shape and torch.allclose(whole, part, rtol=0, atol=_ROUNDING * scale)


def _output_of_last_attention(model: PreTrainedModel) -> nn.Module | None:
    """What BERT calls ``attention.output``: projection, residual and norm, of the last layer."""
    layers = getattr(getattr(model.base_model, "encoder", None), "layer", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        return None
    output = getattr(getattr(layers[-1], "attention", None), "output", None)
    return output if isinstance(output, nn.Module) else None


def _first(module: nn.Module, tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    """The first token of ``(batch, tokens, width)`` tensors: what attention found, and what it was asked with."""
    return tuple(tensor[:, :1] for tensor in tensors)
