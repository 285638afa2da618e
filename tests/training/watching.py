"""Watching trainings: steps of optimizers, weights, and the terms in a log."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from kdbench.methods.stages import TeacherRef
from kdbench.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]
BEST = TeacherRef("checkpoint", 2)
SEEDS = range(1, 5)
"""Seeds for tests that need a training whose best student is not its last, which one of them has."""
FAST = {"mate": {"generator_steps": 2, "student_steps": 5}, "combined": {"generator_steps": 2, "student_steps": 5}}


@dataclass
class Steps:
    """Optimizer steps seen while a block ran: the student's and everybody else's."""

    student: int = 0
    others: int = 0
    rates: list[float] = dataclasses.field(default_factory=list)
    norms: list[float] = dataclasses.field(default_factory=list)
    others_at: list[int] = dataclasses.field(default_factory=list)


@contextmanager
def counting(trainer: Trainer) -> Iterator[Steps]:
    """Watch every optimizer of the process through torch's global hook."""
    steps = Steps()
    own = {id(parameter) for parameter in trainer.model.parameters()}

    def note(optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if id(parameters[0]) not in own:
            steps.others += 1
            steps.others_at.append(steps.student)
            return
        steps.student += 1
        steps.rates.append(optimizer.param_groups[0]["lr"])
        steps.norms.append(float(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm()))

    handle = register_optimizer_step_pre_hook(note)
    try:
        yield steps
    finally:
        handle.remove()


def weights_of(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(value, right[name]) for name, value in left.items())


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def terms_of(log: list[str]) -> list[dict[str, float]]:
    """Loss terms of every line of a log that has some."""
    lines = [json.loads(line) for line in log]
    return [{k: v for k, v in line.items() if k not in ("stage", "step")} for line in lines if "selection" not in line]
