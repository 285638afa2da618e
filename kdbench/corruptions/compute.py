"""Corrupting images: the same pixels for the same example, whatever is computed beside or before it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kdbench.corruptions import CORRUPTIONS
from kdbench.corruptions.library import session
from kdbench.errors import DataError, UnknownNameError
from kdbench.hashing import derive_seed

SMALLEST = 28
"""Pixels a side: what is smaller would be nothing but blur, whose radius is up to 20."""

_LIBRARY_SIDE = 32
"""Pixels a side that the package asks for."""

_OWN_GENERATOR = ("impulse_noise", "glass_blur")
"""These draw from generators of their own, which take a seed, and not from numpy's global one."""

_GREEN = 1
"""The channel nearest to luminance. A mean over the three would weaken noise, which differs in each."""


def corrupt(images: np.ndarray, name: str, severity: int, seeds: Sequence[int]) -> np.ndarray:
    """One corruption at one severity of every image.

    An image's result depends on its pixels and seed, the corruption, the severity and the installed
    packages, on nothing else. Images of 28 to 31 pixels are continued by their edges to the 32 that
    the package asks for, and cut back; grey ones are corrupted as three equal channels, of which one
    is kept.

    Args:
        images: ``(n, height, width, channels)`` uint8, 1 or 3 channels.
        name: one of :data:`kdbench.corruptions.CORRUPTIONS`.
        severity: 1 … 5.
        seeds: one for each image, any integers.

    Returns:
        ``(n, height, width, channels)`` uint8.

    Raises:
        UnknownNameError: there is no such corruption.
        DataError: the images are too small, or the package cannot be imported.
    """
    if name not in CORRUPTIONS:
        raise UnknownNameError("corruption", name, CORRUPTIONS)
    height, width, channels = images.shape[1:]
    if min(height, width) < SMALLEST:
        raise DataError(
            f"images of {width} x {height} pixels are too small to be corrupted: {SMALLEST} a side at least"
        )
    padded, top, left = _pad(images)
    result = np.empty_like(images)
    with session() as corrupt_one:
        for index, (image, own_seed) in enumerate(zip(padded, seeds, strict=True)):
            seed = derive_seed("corruption", own_seed, name, severity) % 2**32
            np.random.seed(seed)
            extra = {"seed": seed} if name in _OWN_GENERATOR else {}
            corrupted = corrupt_one(image, severity=severity, corruption_name=name, **extra)
            corrupted = corrupted[top : top + height, left : left + width]
            result[index] = corrupted if channels == 3 else corrupted[..., _GREEN : _GREEN + 1]
    return result


def _pad(images: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Images of at least the package's size, and where the original begins in them."""
    lacking = [max(0, _LIBRARY_SIDE - side) for side in images.shape[1:3]]
    (top, bottom), (left, right) = [(pixels // 2, pixels - pixels // 2) for pixels in lacking]
    return np.pad(images, ((0, 0), (top, bottom), (left, right), (0, 0)), mode="edge"), top, left
