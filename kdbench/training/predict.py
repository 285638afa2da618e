"""Running a model over a split, once, without gradients."""

from __future__ import annotations

import numpy as np
import torch
from transformers import PreTrainedModel

from kdbench.inputs.base import Encoded
from kdbench.inputs.run import logits_of, run
from kdbench.machine import release_memory


def predict(
    model: PreTrainedModel,
    data: Encoded,
    batch_size: int | None = None,
    precision: str = "fp32",
    view: int | None = None,
) -> np.ndarray:
    """Logits of every row, plain or in a view, float32, in the order of the rows.

    ``(n, outputs)``; for windows of questions ``(tokens of all windows, 2)``.
    The model's mode is put back as it was found. Everything that is reported is computed in fp32.
    """
    was_training = model.training
    batch_size = batch_size or (64 if model.device.type == "cpu" else 512)
    model.eval()
    result = data.new_logits(model.config.num_labels)
    autocast = torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
    with torch.inference_mode(), autocast:
        for rows in data.by_length(batch_size):
            inputs = {name: value.to(model.device) for name, value in data.collate(rows, view).items()}
            data.put_logits(result, rows, logits_of(run(model, inputs), inputs).cpu().numpy())
    release_memory()
    model.train(was_training)
    return result
