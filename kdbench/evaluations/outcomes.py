"""Reading back the per-example outcomes of an in-domain evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def read_logits(cell: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The table of outcomes and its ``(n, outputs)`` float32 logits."""
    table = pd.read_parquet(cell / "examples.parquet")
    columns = sorted((c for c in table.columns if c.startswith("logit_")), key=lambda c: int(c[6:]))
    return table, table[columns].to_numpy(dtype=np.float32)
