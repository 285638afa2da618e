"""The ``efficiency`` evaluation: size, arithmetic and speed of a trained model."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from kdbench.cells.common import pick_device
from kdbench.cells.data import image_format, load_trained
from kdbench.cells.job import CellResult, Job
from kdbench.inputs.base import Inputs
from kdbench.inputs.run import run as run_model
from kdbench.methods.kinds import modality

REPEATS = 10


def run(job: Job) -> CellResult:
    """Parameters, bytes of weights and FLOPs of one batch; its latency goes beside the record.

    FLOPs count multiplications and additions of matrix products, as PyTorch's counter does. Latency
    is the median of some runs on whatever else the machine is doing: compare within one run only.
    """
    spec = job.spec
    folder = job.upstream("model")
    model, _ = load_trained(job)
    model = model.to(pick_device(job)).eval()
    inputs = _inputs(model, spec)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            run_model(model, inputs)
        seconds = [_time(model, inputs) for _ in range(REPEATS)]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    embedding = model.get_input_embeddings().weight.numel() if modality(spec["task"]["kind"]) == "text" else 0
    return CellResult(
        metrics={
            "parameters": float(parameters),
            "non_embedding_parameters": float(parameters - embedding),
            "weights_mb": sum(f.stat().st_size for f in (folder / "model").glob("*.safetensors")) / 2**20,
            "flops": float(counter.get_total_flops()),
        },
        details={"batch_size": spec["batch_size"], "shape": list(inputs[model.main_input_name].shape[1:])},
        measured={"latency_ms": round(1000 * statistics.median(seconds), 3), "repeats": REPEATS},
    )


def _inputs(model: PreTrainedModel, spec: dict[str, Any]) -> Inputs:
    """A batch of the suite's shape for texts, of the task's shape for images."""
    form = image_format(spec["task"])
    if form is not None:
        return {"pixel_values": torch.rand(spec["batch_size"], form.channels, form.size, form.size).to(model.device)}
    vocabulary = model.get_input_embeddings().weight.shape[0]
    shape = (spec["batch_size"], spec["tokens"])
    ids = torch.arange(shape[0] * shape[1]).reshape(shape) % (vocabulary - 1) + 1
    return {"input_ids": ids.to(model.device), "attention_mask": torch.ones_like(ids).to(model.device)}


def _time(model: PreTrainedModel, inputs: Inputs) -> float:
    on_gpu = inputs[model.main_input_name].is_cuda
    if on_gpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    run_model(model, inputs)
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start
