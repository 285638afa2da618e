"""From what a table holds for an image to pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from kdbench.errors import DataError
from kdbench.tasks.spec import ImageFormat


def raw_image(value: Any, where: str) -> bytes | np.ndarray:
    """An encoded file as bytes, or pixel values 0 … 255 as uint8, ``(height, width)`` or ``(height, width, channels)``.

    Args:
        value: bytes, the hub's ``{"bytes": …}``, or nested sequences of pixel values.
        where: how error messages name the data.

    Raises:
        DataError: it is none of these.
    """
    if isinstance(value, dict):
        value = value.get("bytes")
    if isinstance(value, bytes):
        return value
    try:
        pixels = np.stack([np.stack(list(row)) if np.ndim(row[0]) else np.asarray(row) for row in value])
    except (TypeError, ValueError, IndexError):
        pixels = np.empty(0)
    if pixels.ndim not in (2, 3) or pixels.dtype.kind not in "iu" or pixels.min() < 0 or pixels.max() > 255:
        raise DataError(f"{where}: an image is neither an encoded file nor rows of pixel values from 0 to 255")
    return pixels.astype(np.uint8)


def decode_images(images: Sequence[bytes | np.ndarray], form: ImageFormat) -> np.ndarray:
    """Decode, resize (bilinear) and convert to the channels of ``form``: ``(n, size, size, channels)`` uint8.

    Raises:
        DataError: an image file cannot be read.
    """
    result = np.empty((len(images), form.size, form.size, form.channels), dtype=np.uint8)
    for index, image in enumerate(images):
        try:
            picture = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else Image.fromarray(image)
            picture = picture.convert("RGB" if form.channels == 3 else "L")
        except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError) as error:
            raise DataError(f"image {index} cannot be read: {error}") from error
        if picture.size != (form.size, form.size):
            picture = picture.resize((form.size, form.size), Image.Resampling.BILINEAR)
        result[index] = np.asarray(picture).reshape(form.size, form.size, form.channels)
    return result
