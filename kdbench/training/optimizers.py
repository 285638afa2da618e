"""Optimizers and learning-rate schedules, as budgets name them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from kdbench.budget import Budget

MILESTONES = (0.5, 0.75)
"""Shares of a stage after which the ``step`` schedule divides the learning rate by ten (He et al., CVPR 2016)."""


def make_optimizer(
    parameters: Iterable[nn.Parameter], budget: Budget, learning_rate: float, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW, which spares biases and normalisation its weight decay, or SGD with momentum, which spares nothing."""
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for parameter in parameters:
        (matrices if parameter.ndim > 1 else vectors).append(parameter)
    fused = device.type in ("cpu", "cuda")
    sgd = budget.optimizer == "sgd"
    groups = [
        {"params": matrices, "weight_decay": budget.weight_decay},
        {"params": vectors, "weight_decay": budget.weight_decay if sgd else 0.0},
    ]
    if sgd:
        return torch.optim.SGD(groups, lr=learning_rate, momentum=budget.momentum, fused=fused)
    return torch.optim.AdamW(groups, lr=learning_rate, fused=fused)


def learning_rate_at(step: int, steps: int, budget: Budget, peak: float) -> float:
    """The learning rate of update ``step`` of a stage of ``steps``: a linear warm-up, then the budget's schedule.

    ``linear`` falls to zero, ``cosine`` along half a wave, ``step`` to a tenth at each of ``MILESTONES``.
    """
    warmup = round(budget.warmup * steps)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    match budget.schedule:
        case "step":
            return peak * 0.1 ** sum(step >= milestone * steps for milestone in MILESTONES)
        case "cosine":
            return peak * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2
    return peak * (steps - step) / max(1, steps - warmup)
