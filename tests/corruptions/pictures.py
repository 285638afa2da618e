"""Images that are made here: coloured squares and stripes, no two the same."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image


def pictures(count: int, side: int = 32, channels: int = 3) -> np.ndarray:
    """``(count, side, side, channels)`` uint8."""
    rng = np.random.default_rng(5)
    blocks = rng.integers(0, 256, (count, 4, 4, channels)).repeat(-(-side // 4), 1).repeat(-(-side // 4), 2)
    stripes = 40 * (np.arange(side) // 3 % 2)[None, :, None, None]
    return np.clip(blocks[:, :side, :side] + stripes, 0, 255).astype(np.uint8)


def png(image: np.ndarray) -> dict[str, bytes]:
    """An image as the hub keeps it."""
    stream = io.BytesIO()
    Image.fromarray(image.squeeze()).save(stream, "PNG")
    return {"bytes": stream.getvalue()}


def write_clean(path: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    """A clean split, as the hub has CIFAR-10."""
    pd.DataFrame({"img": [png(image) for image in images], "label": labels}).to_parquet(path)
    return path


def write_prepared(path: Path, corrupted: dict[tuple[str, int], np.ndarray], labels: np.ndarray) -> Path:
    """A set of corrupted images, as the hub has CIFAR-10-C."""
    tables = [
        pd.DataFrame(
            {
                "image": [png(image) for image in images],
                "label": labels,
                "corruption_name": name,
                "corruption_level": np.int32(severity),
            }
        )
        for (name, severity), images in corrupted.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.concat(tables, ignore_index=True).to_parquet(path)
    return path
