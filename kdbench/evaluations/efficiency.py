"""The ``efficiency`` evaluation: size, arithmetic and speed of a trained model."""

from __future__ import annotations

import statistics
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from kdbench.cells.common import pick_device
from kdbench.cells.data import load_trained
from kdbench.cells.job import CellResult, Job

REPEATS = 10


def run(job: Job) -> CellResult:
    """Parameters, bytes of weights and FLOPs of one batch; its latency goes beside the record.

    FLOPs count multiplications and additions of matrix products, as PyTorch's counter does. Latency
    is the median of some runs on whatever else the machine is doing: compare within one run only.
    """
    spec = job.spec
    folder = job.upstream("model")
    model, _ = load_trained(folder)
    model = model.to(pick_device(job)).eval()
    vocabulary = model.get_input_embeddings().weight.shape[0]
    shape = (spec["batch_size"], spec["tokens"])
    ids = torch.arange(shape[0] * shape[1]).reshape(shape) % (vocabulary - 1) + 1
    inputs = {"input_ids": ids.to(model.device), "attention_mask": torch.ones_like(ids).to(model.device)}
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            model(**inputs)
        seconds = [_time(model, inputs) for _ in range(REPEATS)]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    embedding = model.get_input_embeddings().weight.numel()
    return CellResult(
        metrics={
            "parameters": float(parameters),
            "non_embedding_parameters": float(parameters - embedding),
            "weights_mb": sum(f.stat().st_size for f in (folder / "model").glob("*.safetensors")) / 2**20,
            "flops": float(counter.get_total_flops()),
        },
        details={"batch_size": shape[0], "tokens": shape[1]},
        measured={"latency_ms": round(1000 * statistics.median(seconds), 3), "repeats": REPEATS},
    )


def _time(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> float:
    if inputs["input_ids"].is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    model(**inputs)
    if inputs["input_ids"].is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start
