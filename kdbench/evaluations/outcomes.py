"""Per-example outcomes of an evaluation, written and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from kdbench.inputs.base import Encoded
from kdbench.inputs.spans import EncodedSpans
from kdbench.predictions import Predictions
from kdbench.record import EXAMPLES_FILE

_LOGITS_FILE = "logits.safetensors"


def write_outcomes(
    folder: Path,
    predictions: Predictions,
    data: Encoded,
    logits: np.ndarray,
    groups: list[str] | None,
    *,
    compared: bool,
) -> None:
    """One row for each example, with its logits beside it.

    Those of windows are many: they get a file of their own, and only where they are ``compared`` with a teacher's.
    """
    table = predictions.table()
    if isinstance(data, EncodedSpans):
        tensors = {"logits": logits, "starts": data.starts, "examples": data.examples}
        if compared:
            save_file({name: torch.from_numpy(value) for name, value in tensors.items()}, folder / _LOGITS_FILE)
    else:
        for index in range(logits.shape[1]):
            table[f"logit_{index}"] = logits[:, index]
    if groups is not None:
        table["group"] = groups
    table.to_parquet(folder / EXAMPLES_FILE)


def read_logits(cell: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The table of outcomes and its ``(n, outputs)`` float32 logits."""
    table = pd.read_parquet(cell / EXAMPLES_FILE)
    columns = sorted((c for c in table.columns if c.startswith("logit_")), key=lambda c: int(c[6:]))
    return table, table[columns].to_numpy(dtype=np.float32)


def read_span_logits(cell: Path) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The table of answers, and of all windows start and end ``logits`` ``(tokens, 2)``, ``starts`` and ``examples``.

    Window ``w`` is ``logits[starts[w]:starts[w + 1]]``, about question ``examples[w]``.
    """
    tensors = load_file(cell / _LOGITS_FILE)
    return pd.read_parquet(cell / EXAMPLES_FILE), {name: value.numpy() for name, value in tensors.items()}
