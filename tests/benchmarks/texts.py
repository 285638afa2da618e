"""The trainer on texts: MiniLM students on short sentences, AdamW in fp32."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdbench.artifacts import ArtifactCache
from kdbench.budget import Budget
from kdbench.hashing import derive_seed
from kdbench.inputs.stream import BatchStream
from kdbench.inputs.text import TextReader
from kdbench.locations import Locations
from kdbench.methods import losses
from kdbench.methods.stages import TeacherRef
from kdbench.models.build import Head, build_model, load_tokenizer
from kdbench.models.spec import PAIRS, ModelSpec
from kdbench.tasks.dataset import carve_selection, to_examples
from kdbench.tasks.sources import locate, read
from kdbench.tasks.spec import TASKS
from kdbench.training.data import training_data
from kdbench.training.state import TrainingData
from kdbench.training.teachers import TeacherBank
from tests.benchmarks.measure import SEED, Effort, show, trainer_seconds

HERE = Locations.from_environment()
PAIR = PAIRS.get("minilm-l6-l3")
BUDGET = Budget(batch_size=32, learning_rate=1e-4, precision="fp32")


def measure(effort: Effort) -> None:
    """(a) to (c)."""
    snippets = _load("movie-snippets", 4000)
    steps = effort.steps
    ratios = effort.paired(lambda: _bare(snippets, steps), lambda: _trainer(snippets, steps, "finetune", None))
    show("(a) text trainer / bare loop throughput", [1 / ratio for ratio in ratios], ">= 0.95")
    teacher = _model(PAIR.teacher).eval()
    with tempfile.TemporaryDirectory() as folder:
        teacher.save_pretrained(Path(folder) / "teacher")
        cache, ref = ArtifactCache(Path(folder) / "cache"), TeacherRef("checkpoint", 0)
        folders = {ref: ("bench", Path(folder) / "teacher")}
        bank = TeacherBank(cache, snippets.train, torch.device("cpu"), folders)
        bank.logits(ref)
        ratios = effort.paired(
            lambda: _trainer(snippets, steps, "kd", bank), lambda: _bare(snippets, steps, teacher=teacher)
        )
        show("(b) kd cached / live teacher speed", ratios, ">= 1.5")
    name = "sst2" if HERE.data else "movie-snippets"
    short = _load(name, 4000)
    ratios = effort.paired(lambda: _bare(short, steps), lambda: _bare(short, steps, width=128))
    show(f"(c) dynamic padding / padding to 128 speed on {name}", ratios, ">= 1.8")


def _reader() -> TextReader:
    return TextReader(load_tokenizer(PAIR.student, HERE), 128)


def _load(task_name: str, limit: int) -> TrainingData:
    """A real task, tokenised."""
    task = TASKS.get(task_name)
    table = read(locate(task.source, task.splits.train, HERE), HERE)
    examples = to_examples(table, task.columns, task.labels, task.label_map, task_name)
    train, selection = carve_selection(examples.sample(limit, "bench"), 0.05, 64)
    reader = _reader()
    return training_data({"kind": "text-classification", "labels": task.labels}, "accuracy", train, selection, reader)


def _model(spec: ModelSpec) -> PreTrainedModel:
    """A fresh classifier of the benchmark pair."""
    return build_model(spec, Head("text-classification", 2), HERE, seed=0)


def _trainer(data: TrainingData, steps: int, method: str, teachers: TeacherBank | None) -> float:
    kind = "text-classification"
    return trainer_seconds(_model(PAIR.student), _reader(), data, BUDGET, method, kind, steps, teachers)


def _bare(data: TrainingData, steps: int, *, teacher: PreTrainedModel | None = None, width: int = 0) -> float:
    """Seconds of a plain PyTorch loop over the trainer's own batches.

    With a ``teacher`` the loss is kd's; ``width`` pads every batch to that many tokens.
    """
    student = _model(PAIR.student).train()
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4, fused=True)
    stream = BatchStream(data.train.lengths, BUDGET.batch_size, derive_seed("train", SEED))
    labels = torch.from_numpy(data.train.labels)
    start = time.perf_counter()
    for step in range(steps):
        rows = stream.batch(step)
        inputs = _pad(data.train.collate(rows), width)
        output = student(**inputs).logits
        loss = losses.cross_entropy(output, labels[torch.from_numpy(rows)])
        if teacher is not None:
            with torch.no_grad():
                target = teacher(**inputs).logits
            loss = 0.5 * loss + 0.5 * 4 * losses.kl_divergence(output, target, 2.0)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - start


def _pad(inputs: dict[str, Tensor], width: int) -> dict[str, Tensor]:
    """Zeros on the right up to ``width``."""
    missing = max(0, width - inputs["input_ids"].shape[1])
    return {name: torch.nn.functional.pad(value, (0, missing)) for name, value in inputs.items()}
