"""What happens inside self-attention: queries, keys, values and attention weights of text encoders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from kdbench.errors import MethodError

_NAMES = (("query", "key", "value"), ("q_lin", "k_lin", "v_lin"))  # BERT and its descendants; DistilBERT


@contextmanager
def capture_projections(model: nn.Module) -> Iterator[list[tuple[Tensor, Tensor, Tensor]]]:
    """Keep the queries, keys and values that a forward pass inside the block computes.

    The list is filled when the block ends: one triple per layer, first layer first, each tensor
    ``(batch, tokens, width)`` with all heads side by side, as :class:`~kdbench.methods.contract.Outputs` has them.
    Of several forward passes the last one is kept. The model may be wrapped.

    Raises:
        MethodError: no self-attention with such projections is known in the model.
    """
    layers = [
        [getattr(module, name) for name in names]
        for module in model.modules()
        for names in _NAMES
        if all(isinstance(getattr(module, name, None), nn.Module) for name in names)
    ]
    if not layers:
        raise MethodError(
            f"{type(model).__name__} has no query, key and value layers that kdbench knows (those of BERT, RoBERTa "
            "and DistilBERT): this method cannot read its self-attention"
        )
    seen: dict[tuple[int, int], Tensor] = {}

    def keep(place: tuple[int, int], _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen[place] = output

    handles = [
        projection.register_forward_hook(partial(keep, (number, role)))
        for number, layer in enumerate(layers)
        for role, projection in enumerate(layer)
    ]
    captured: list[tuple[Tensor, Tensor, Tensor]] = []
    try:
        yield captured
    finally:
        for handle in handles:
            handle.remove()
    captured.extend((seen[number, 0], seen[number, 1], seen[number, 2]) for number in range(len(layers)))


def enable_attentions(model: PreTrainedModel) -> None:
    """Make ``output_attentions=True`` work on a model, whatever attention kernel it was built with.

    Models on transformers' attention interface return weights with eager attention only. BERT, RoBERTa and
    DistilBERT are older (as of transformers 4.57): they refuse the switch, and compute the weights when asked.
    """
    model.set_attn_implementation("eager")
