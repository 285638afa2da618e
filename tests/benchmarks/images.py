"""The trainer on images: CIFAR-10 with crops and flips, SGD, bf16 where the hardware has it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from transformers import PreTrainedModel

from kdbench.budget import Budget
from kdbench.hashing import derive_seed
from kdbench.inputs.images import ImageReader
from kdbench.inputs.stream import BatchStream
from kdbench.locations import Locations
from kdbench.machine import supports_bf16
from kdbench.models.build import Head, build_model
from kdbench.models.spec import ModelSource, ModelSpec, NetSpec
from kdbench.tasks.dataset import carve_selection, to_examples
from kdbench.tasks.sources import Located, locate, read
from kdbench.tasks.spec import TASKS
from kdbench.training.data import training_data
from kdbench.training.state import TrainingData
from tests.benchmarks.measure import SEED, Effort, show, trainer_seconds

HERE = Locations.from_environment()
TASK = TASKS.get("cifar10")
assert TASK.image is not None
FORM = TASK.image
BUDGET = Budget(
    batch_size=128,
    learning_rate=0.1,
    optimizer="sgd",
    schedule="step",
    weight_decay=1e-4,
    precision="bf16" if supports_bf16("cpu") else "fp32",
)
SUITE = """
name: memory
tasks: [cifar10]
pairs: [resnet20-resnet8]
methods: [kd]
controls: []
seeds: [1]
budget: short
budgets:
  short: {epochs: 1, teacher_epochs: 1, batch_size: 128, optimizer: sgd, learning_rate: 0.1,
          teacher_learning_rate: 0.1, max_evaluation: 100}
evaluations: {ood: false, fidelity: false, calibration: null, efficiency: null}
"""


def measure(effort: Effort) -> None:
    """(e) for two depths."""
    located = locate(TASK.source, TASK.splits.train, HERE)
    if located.path is None:
        print("(e) no CIFAR-10 here: KDBENCH_DATA names a mirror that has it")
        return
    data = _load(located)
    for depth in (8, 20):
        ratios = effort.paired(lambda d=depth: _bare(data, d, effort.steps), lambda d=depth: _trainer(data, d, effort))
        title = f"(e) image trainer / bare loop throughput, resnet{depth}, {BUDGET.precision}"
        show(title, [1 / ratio for ratio in ratios], ">= 0.95")


def measure_memory() -> None:
    """(f): peak memory of every training cell of a run on the whole of CIFAR-10."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "memory.yaml").write_text(SUITE, encoding="utf-8")
        command = [sys.executable, "-m", "kdbench", "run", "--suite", "./memory.yaml", "--jobs", "1", "--device", "cpu"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        for path in sorted(Path(folder).glob(".kdbench/store/cells/*/*/run.json")):
            kind = json.loads((path.parent / "record.json").read_text(encoding="utf-8"))["kind"]
            info = json.loads(path.read_text(encoding="utf-8"))
            if kind != "evaluation":
                peak, seconds = info["peak_memory_mb"] / 1024, info["wall_seconds"]
                print(f"(f) {kind} on CIFAR-10: peak memory {peak:.2f} GiB in {seconds:.0f} s (promised < 3)")


def _load(located: Located) -> TrainingData:
    examples = to_examples(read(located, HERE), TASK.columns, TASK.labels, {}, "cifar10").sample(10_000, "bench")
    train, selection = carve_selection(examples, 0.05, 64)
    reader = ImageReader(FORM)
    return training_data({"kind": "image-classification", "labels": TASK.labels}, "accuracy", train, selection, reader)


def _model(depth: int) -> PreTrainedModel:
    spec = ModelSpec(name="bench", source=ModelSource(net=NetSpec(family="resnet", depth=depth)))
    return build_model(spec, Head("image-classification", 10, FORM), HERE, seed=0)


def _trainer(data: TrainingData, depth: int, effort: Effort) -> float:
    kind = "image-classification"
    return trainer_seconds(_model(depth), ImageReader(FORM), data, BUDGET, "finetune", kind, effort.steps)


def _bare(data: TrainingData, depth: int, steps: int) -> float:
    """Seconds of a plain PyTorch loop over the trainer's own augmented batches."""
    student = _model(depth).train()
    options = {"lr": 0.1, "momentum": BUDGET.momentum, "weight_decay": BUDGET.weight_decay, "fused": True}
    optimizer = torch.optim.SGD(student.parameters(), **options)
    stream = BatchStream(data.train.lengths, BUDGET.batch_size, derive_seed("train", SEED))
    labels = torch.from_numpy(data.train.labels)
    bf16 = BUDGET.precision == "bf16"
    start = time.perf_counter()
    for step in range(steps):
        rows = stream.batch(step)
        inputs = data.train.collate(rows, view=step // stream.per_epoch)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = student(**inputs).logits
        F.cross_entropy(logits.float(), labels[torch.from_numpy(rows)]).backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), BUDGET.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - start
