"""One forward pass of any model, and the logits in the shape that objectives want."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kdbench.inputs.base import AUXILIARY, CLOSED


def run(model: Any, inputs: Mapping[str, Tensor], **options: Any) -> Any:
    """Whatever the model returns for a batch; inputs that only tell about the others are kept from it."""
    return model(**{name: value for name, value in inputs.items() if name not in AUXILIARY}, **options)


def logits_of(result: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """fp32 logits of a result, ``(batch, classes)``; ``(batch, 2, tokens)`` where answers start and end.

    Tokens that cannot be an answer are closed: questions and padding are masked out of every model alike.
    """
    if "answerable" not in inputs:
        logits: Tensor = result.logits
        return logits.float()
    return close(torch.stack([result.start_logits, result.end_logits], dim=1).float(), inputs)


def close(logits: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
    """The logits with :data:`~kdbench.inputs.base.CLOSED` wherever no answer can be; as they are for other tasks."""
    if "answerable" not in inputs:
        return logits
    return logits.masked_fill(~inputs["answerable"][:, None, :], CLOSED)
