"""The package that computes corruptions: is it there, which one is it, and how it is kept from leaving traces."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np

from kdbench.errors import DataError

DISTRIBUTION = "imagecorruptions-imaug"
"""A maintained fork of ``imagecorruptions``; that one has the same module name and fails with numpy 2."""

_INSTALL = "pip install 'kdbench[corruptions]'"
_HEADLESS = "pip install --force-reinstall --no-deps opencv-contrib-python-headless"


def missing_library() -> str | None:
    """Why corruptions cannot be computed here, or nothing. Looks at installed packages only: imports none."""
    try:
        metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return f"corruptions are computed by the package {DISTRIBUTION}: {_INSTALL}"
    return None


def library_version() -> str:
    """Name and version of what computes the pixels: part of every key of theirs.

    Raises:
        DataError: it is not installed.
    """
    missing = missing_library()
    if missing:
        raise DataError(missing)
    return f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}"


@contextlib.contextmanager
def session() -> Iterator[Callable[..., np.ndarray]]:
    """The package's ``corrupt(image, severity, corruption_name, …)``, ready for many calls.

    Most corruptions draw from numpy's global generator, whose state is put back at the end. ``frost``
    decodes a photograph of a megabyte at every call: while the session is open each is read once.
    Both concern the whole process: one session at a time, and no other thread that draws.

    Raises:
        DataError: the package, or the OpenCV it needs, cannot be imported.
    """
    corrupt, opencv = _import()
    state = np.random.get_state()
    read = opencv.imread
    opencv.imread = functools.lru_cache(maxsize=None)(read)
    try:
        yield corrupt
    finally:
        opencv.imread = read
        np.random.set_state(state)


def _import() -> tuple[Callable[..., np.ndarray], Any]:
    library_version()
    try:
        opencv = importlib.import_module("cv2")
    except ImportError as error:
        # opencv-python wants libGL of a desktop; the headless build is the same module without windows.
        raise DataError(f"OpenCV, which {DISTRIBUTION} needs, cannot be imported ({error}): {_HEADLESS}") from error
    try:
        return importlib.import_module("imagecorruptions").corrupt, opencv
    except ImportError as error:
        raise DataError(f"{DISTRIBUTION} cannot be imported ({error}): {_INSTALL}") from error
