"""What the inner maximisations of all augmenters share: which way is up, and who must not move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from kdbench.methods import losses

Divergence = Literal["kl", "soft-ce", "mse"]


def divergence(
    kind: Divergence,
    student: Tensor,
    teacher: Tensor,
    *,
    regression: bool = False,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """How far the student is from the teacher, a scalar; the MSE for scores, whatever the kind.

    Args:
        kind: KL(pT ‖ pS), the soft cross-entropy of both, or the MSE of the logits.
        student, teacher: logits, ``(…, classes)``.
        regression: whether they are scores.
        temperature: T, of both softmaxes.
        mask: which logits are real, as in :attr:`kdbench.methods.contract.Context.mask`.
    """
    if regression or kind == "mse":
        return losses.mse(student, teacher, mask)
    function = losses.kl_divergence if kind == "kl" else losses.soft_cross_entropy
    return function(student, teacher, temperature)


@contextmanager
def held_fixed(model: nn.Module) -> Iterator[None]:
    """The model in eval mode and without gradients for its weights; afterwards every module is as it was.

    Inner steps differentiate by the input alone: no statistics of a batch norm move, nothing is dropped.
    """
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval().requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, needed in flags:
            parameter.requires_grad_(needed)


def autocast(model: nn.Module, precision: str) -> torch.autocast:
    """bf16 arithmetic on the model's device where ``precision`` asks for it."""
    device = next(model.parameters()).device
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
