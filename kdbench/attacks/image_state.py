"""What an image attack has found so far, kept on disk so that a killed run goes on where it was."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from kdbench.store import write_atomic

_SHARE = 0.05  # of the time, at most, goes into writing


@dataclass
class AttackState:
    """An attack between two batches. Tensors lie on the CPU.

    Attributes:
        strongest: ``(n, channels, height, width)`` the adversarial images; of those that stand, the strongest attempt.
        margins: ``(n,)`` label's logit minus the best other one there.
        standing: ``(n,)`` bool.
        queries, gradients: ``(n,)`` int64.
        breaker: ``(n,)`` int64, the index of the round that broke an image; -1 for none.
        rows: the images that stood when the round under way began.
        round: its index.
        done: how many of its rows are done.
        batch_size: images attacked at once.
    """

    strongest: Tensor
    margins: Tensor
    standing: Tensor
    queries: Tensor
    gradients: Tensor
    breaker: Tensor
    rows: Tensor
    round: int
    done: int
    batch_size: int

    @classmethod
    def start(cls, images: Tensor, margins: Tensor, standing: Tensor, batch_size: int) -> AttackState:
        """Before the first round: every image has cost one query."""
        return cls(
            strongest=images.clone(),
            margins=margins,
            standing=standing,
            queries=torch.ones(len(images), dtype=torch.int64),
            gradients=torch.zeros(len(images), dtype=torch.int64),
            breaker=torch.full((len(images),), -1),
            rows=standing.nonzero().flatten(),
            round=0,
            done=0,
            batch_size=batch_size,
        )


class StateFile:
    """One safetensors file that is always whole: replaced by a rename, and never a large part of an attack's time."""

    def __init__(self, path: Path, key: str) -> None:
        """Bind the file to what is attacked how; a state of another key is no state.

        Args:
            path: of the file; its folder is made when it is needed.
            key: identifies model, images, attack and seed.
        """
        self.path, self.key = path, key
        self._next = 0.0

    def load(self) -> AttackState | None:
        """The last state that was written; nothing where there is none, or one of something else."""
        try:
            with safe_open(self.path, framework="pt") as stored:
                facts = stored.metadata() or {}
                values: dict[str, Any] = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except (OSError, SafetensorError):
            return None
        if facts.pop("key", None) != self.key:
            return None
        try:
            values |= {name: int(fact) for name, fact in facts.items()}
            return AttackState(**values)
        except (TypeError, ValueError):  # other fields than ours
            return None

    def save(self, state: AttackState) -> None:
        """Write the state, unless the last writing was so short a time ago that this would slow the attack down.

        Where it cannot be written the attack goes on: all that is lost is where to go on after an interruption.
        """
        start = time.perf_counter()
        if start < self._next:
            return
        values = {field.name: getattr(state, field.name) for field in fields(state)}
        tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        facts = {name: str(value) for name, value in values.items() if name not in tensors}
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path, save(tensors, facts | {"key": self.key}))
        end = time.perf_counter()
        self._next = end + (end - start) / _SHARE
