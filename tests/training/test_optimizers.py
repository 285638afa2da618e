"""Optimizers and schedules against their closed forms, one number at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from kdbench.budget import Budget
from kdbench.training.optimizers import learning_rate_at, make_optimizer

CPU = torch.device("cpu")


def _rates(steps: int, **budget: Any) -> list[float]:
    return [learning_rate_at(step, steps, Budget(**budget), 0.1) for step in range(steps)]


def test_step_schedule_divides_by_ten_at_half_and_three_quarters() -> None:
    """He et al.: of 200 epochs, after 100 and 150."""
    found = _rates(200, schedule="step", warmup=0)
    assert found == pytest.approx([0.1] * 100 + [0.01] * 50 + [0.001] * 50)


def test_step_schedule_of_an_odd_length() -> None:
    """A milestone between two updates takes effect at the second."""
    assert _rates(5, schedule="step", warmup=0) == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.001])


def test_cosine_schedule_is_half_a_wave_after_the_warm_up() -> None:
    """Loshchilov & Hutter, equation 5, to zero."""
    found = _rates(100, schedule="cosine", warmup=0.1)
    assert found[:10] == pytest.approx([0.1 * (k + 1) / 11 for k in range(10)])
    assert found[10:] == pytest.approx([0.05 * (1 + math.cos(math.pi * k / 90)) for k in range(90)])
    assert found[10] == 0.1 and found[-1] < 1e-4


def test_linear_schedule_ends_one_step_above_zero() -> None:
    """Every update counts."""
    assert _rates(10, schedule="linear", warmup=0.2) == pytest.approx(
        [0.1 / 3, 0.2 / 3, *(0.1 * k / 8 for k in range(8, 0, -1))]
    )


@pytest.mark.parametrize("schedule", ["linear", "step", "cosine"])
def test_a_stage_of_one_update_learns(schedule: Any) -> None:
    """At the peak: there is nothing to warm up for."""
    assert _rates(1, schedule=schedule) == [0.1]


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2)).double()


def _updates(model: nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
    inputs = torch.randn(4, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for _ in range(count):
        model(inputs).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_sgd_has_momentum_and_decays_everything() -> None:
    """v ← μ·v + g + λ·w; w ← w - η·v, as the CIFAR papers train; biases and norms are decayed, too."""
    budget = Budget(optimizer="sgd", momentum=0.7, weight_decay=0.05)
    model, again = _model(), _model()
    optimizer = make_optimizer(model.parameters(), budget, 0.1, CPU)
    _updates(model, optimizer, 3)
    velocity = {name: torch.zeros_like(value) for name, value in again.named_parameters()}
    inputs = torch.randn(4, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        loss = again(inputs).square().mean()
        gradients = torch.autograd.grad(loss, list(again.parameters()))
        with torch.no_grad():
            for (name, value), gradient in zip(again.named_parameters(), gradients, strict=True):
                velocity[name] = 0.7 * velocity[name] + gradient + 0.05 * value
                value -= 0.1 * velocity[name]
    for (name, value), other in zip(model.named_parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(value, other, msg=name)


def test_adamw_spares_vectors() -> None:
    """Decoupled decay of matrices and kernels only."""
    optimizer = make_optimizer(_model().parameters(), Budget(optimizer="adamw", weight_decay=0.05), 0.1, CPU)
    assert isinstance(optimizer, torch.optim.AdamW)
    decays = {p.ndim > 1: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays == {True: 0.05, False: 0.0}
