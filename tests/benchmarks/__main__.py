"""Prints the ratios that the project promises. Run it on an idle machine; it takes some minutes.

(a) throughput of the trainer / bare PyTorch loop over the same batches
(b) kd with cached teacher logits / kd with the teacher run at every step, 6 -> 3 layers
(c) length buckets with dynamic padding / padding to 128, on short sentences
(d) seconds of a finished suite's rerun
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from kdbench.training.encoding import BatchStream, encode
from torch import Tensor
from transformers import PreTrainedModel

from kdbench.artifacts import ArtifactCache
from kdbench.budget import Budget, Updates
from kdbench.hashing import derive_seed
from kdbench.locations import Locations
from kdbench.methods import losses
from kdbench.methods.registry import METHODS
from kdbench.methods.stages import TeacherRef, Trajectory
from kdbench.models.build import build_classifier, load_tokenizer
from kdbench.models.spec import PAIRS, ModelSpec
from kdbench.tasks.dataset import carve_selection, to_examples
from kdbench.tasks.sources import locate, read
from kdbench.tasks.spec import TASKS
from kdbench.training.state import TrainingData
from kdbench.training.teachers import TeacherBank
from kdbench.training.trainer import Trainer

STEPS = 40
ROUNDS = 5
HERE = Locations.from_environment()
PAIR = PAIRS.get("minilm-l6-l3")
BUDGET = Budget(batch_size=32, learning_rate=1e-4, precision="fp32")


def load(task_name: str, limit: int) -> TrainingData:
    """A real task, tokenised."""
    task = TASKS.get(task_name)
    table = read(locate(task.source, task.splits.train, HERE), HERE)
    examples = to_examples(table, task.columns, task.labels, task.label_map, task_name)
    train, selection = carve_selection(examples.sample(limit, "bench"), 0.05, 64)
    tokenizer = load_tokenizer(PAIR.student, HERE)
    return TrainingData(*(encode(part, tokenizer, 128) for part in (train, selection)), "accuracy", False)


def model(spec: ModelSpec) -> PreTrainedModel:
    """A fresh classifier of the benchmark pair."""
    return build_classifier(spec, 2, False, HERE, seed=0)


def bare_loop(data: TrainingData, logits: Tensor | None, teacher: PreTrainedModel | None, width: int = 0) -> float:
    """Seconds of a plain PyTorch loop over the trainer's own batches.

    With ``logits`` or ``teacher`` the loss is kd's; ``width`` pads every batch to that many tokens.
    """
    student = model(PAIR.student).train()
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4, fused=True)
    stream = BatchStream(data.train.lengths, BUDGET.batch_size, derive_seed("train", 1))
    labels = torch.from_numpy(data.train.labels)
    start = time.perf_counter()
    for step in range(STEPS):
        rows = stream.batch(step)
        inputs = pad(data.train.collate(rows), width)
        output = student(**inputs).logits
        index = torch.from_numpy(rows)
        loss = losses.cross_entropy(output, labels[index])
        if logits is not None or teacher is not None:
            target = logits[index] if logits is not None else live(teacher, inputs)
            loss = 0.5 * loss + 0.5 * 4 * losses.kl_divergence(output, target, 2.0)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - start


def live(teacher: PreTrainedModel | None, inputs: dict[str, Tensor]) -> Tensor:
    """A teacher's logits, computed now."""
    assert teacher is not None
    with torch.no_grad():
        logits: Tensor = teacher(**inputs).logits
    return logits


def pad(inputs: dict[str, Tensor], width: int) -> dict[str, Tensor]:
    """Zeros on the right up to ``width``."""
    missing = max(0, width - inputs["input_ids"].shape[1])
    return {name: torch.nn.functional.pad(value, (0, missing)) for name, value in inputs.items()}


def harness(data: TrainingData, method: str, teachers: TeacherBank | None) -> float:
    """Seconds of the same updates by the trainer; selection and checkpoints are not its hot path and left out."""
    stages = METHODS.build(method).stages(Updates(STEPS, 10**6), Trajectory.nominal(1))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            Accelerator(cpu=True),
            model(PAIR.student),
            load_tokenizer(PAIR.student, HERE),
            data,
            stages,
            BUDGET,
            learning_rate=1e-4,
            seed=1,
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


def paired(first: Callable[[], float], second: Callable[[], float]) -> list[float]:
    """Ratios second / first, measured in turn, after a warm-up of each."""
    first(), second()
    return [second() / first() for _ in range(ROUNDS)]


def show(title: str, ratios: list[float], promise: str) -> None:
    """One line: median, range, promise."""
    middle = statistics.median(ratios)
    print(f"{title}: {middle:.2f} (min {min(ratios):.2f}, max {max(ratios):.2f}; promised {promise})", flush=True)


def rerun_seconds(store: Path) -> float:
    """Wall seconds of ``kdbench run`` on a finished quickstart."""
    command = [sys.executable, "-m", "kdbench", "run", "--suite", "quickstart", "--store", str(store)]
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("0 cells finished"), "the suite is not finished: run it first"
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--store", type=Path, default=Path(".kdbench/store"), help="a finished quickstart, for (d)")
    options.add_argument("--steps", type=int, default=STEPS, help="updates in each measurement")
    options.add_argument("--rounds", type=int, default=ROUNDS, help="pairs of measurements, after one of warm-up")
    chosen = options.parse_args()
    store = chosen.store
    globals().update(STEPS=chosen.steps, ROUNDS=chosen.rounds)
    torch.set_num_threads(1)
    snippets = load("movie-snippets", 4000)
    ratios = paired(lambda: bare_loop(snippets, None, None), lambda: harness(snippets, "finetune", None))
    show("(a) trainer / bare loop throughput", [1 / ratio for ratio in ratios], ">= 0.95")
    teacher = model(PAIR.teacher).eval()
    with tempfile.TemporaryDirectory() as folder:
        teacher.save_pretrained(Path(folder) / "teacher")
        ref = TeacherRef("checkpoint", 0)
        bank = TeacherBank(
            ArtifactCache(Path(folder) / "cache"),
            snippets.train,
            torch.device("cpu"),
            {ref: ("bench", Path(folder) / "teacher")},
        )
        bank.logits(ref)
        ratios = paired(lambda: harness(snippets, "kd", bank), lambda: bare_loop(snippets, None, teacher))
        show("(b) kd cached / live teacher speed", ratios, ">= 1.5")
    name = "sst2" if HERE.data else "movie-snippets"
    short = load(name, 4000)
    ratios = paired(lambda: bare_loop(short, None, None), lambda: bare_loop(short, None, None, width=128))
    show(f"(c) dynamic padding / padding to 128 speed on {name}", ratios, ">= 1.8")
    if (store / "cells").is_dir():
        print(f"(d) rerun of a finished suite: {rerun_seconds(store):.1f} s (promised < 10 s)")


if __name__ == "__main__":
    main()
