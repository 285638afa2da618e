"""Paired measurements, and the trainer's hot path by itself."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator
from transformers import PreTrainedModel

from kdbench.budget import Budget, Updates
from kdbench.inputs.base import Reader
from kdbench.methods.registry import METHODS
from kdbench.methods.stages import Trajectory
from kdbench.training.state import TrainingData
from kdbench.training.teachers import TeacherBank
from kdbench.training.trainer import Trainer

SEED = 1


@dataclass(frozen=True)
class Effort:
    """How long to measure: updates in each measurement, and pairs of measurements after one of warm-up."""

    steps: int
    rounds: int

    def paired(self, first: Callable[[], float], second: Callable[[], float]) -> list[float]:
        """Ratios second / first, measured in turn, after a warm-up of each."""
        first(), second()
        return [second() / first() for _ in range(self.rounds)]


def show(title: str, ratios: list[float], promise: str) -> None:
    """One line: median, range, promise."""
    middle = statistics.median(ratios)
    print(f"{title}: {middle:.2f} (min {min(ratios):.2f}, max {max(ratios):.2f}; promised {promise})", flush=True)


def trainer_seconds(
    student: PreTrainedModel,
    reader: Reader,
    data: TrainingData,
    budget: Budget,
    method: str,
    kind: str,
    steps: int,
    teachers: TeacherBank | None = None,
) -> float:
    """Seconds of a method's updates; selection and checkpoints are not the hot path and left out."""
    stages = METHODS.build(method, kind=kind).stages(Updates(steps, 10**6), Trajectory.nominal(1))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            Accelerator(cpu=True, mixed_precision="bf16" if budget.precision == "bf16" else "no"),
            student,
            reader,
            data,
            stages,
            budget,
            learning_rate=budget.learning_rate,
            seed=SEED,
            folder=Path(folder),
            teachers=teachers,
        )
        seconds: list[float] = []
        trainer._select = lambda stage: seconds.append(time.perf_counter())  # type: ignore[method-assign]
        trainer._save = lambda *_: None  # type: ignore[method-assign]
        trainer.best = dict(trainer.model.state_dict())
        start = time.perf_counter()
        trainer.run()
    return seconds[-1] - start
