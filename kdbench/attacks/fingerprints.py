"""Fingerprints of the files attacks read: what their bytes are, wherever they lie. Imports no torch."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from kdbench.hashing import digest, file_digest
from kdbench.models.locate import MODEL_FILES


def files_fingerprint(files: Sequence[Path]) -> str:
    """``sha256:…`` of the files' names and contents, in the order of their names."""
    named = sorted((file.name, file) for file in files)
    return f"sha256:{digest([[name, _digest_of(file)] for name, file in named])}"


def folder_fingerprint(folder: Path) -> str:
    """``sha256:…`` of a model directory: weights, configuration and tokenizer, as model mirrors are identified."""
    return files_fingerprint([file for pattern in MODEL_FILES for file in folder.glob(pattern)])


def tree_fingerprint(folder: Path) -> str:
    """``sha256:…`` of a model directory and the folders in it, where sentence encoders keep how they pool."""
    files = {file for pattern in MODEL_FILES for file in folder.rglob(pattern) if file.is_file()}
    return f"sha256:{digest(sorted([file.relative_to(folder).as_posix(), _digest_of(file)] for file in files))}"


def _digest_of(file: Path) -> str:
    state = file.stat()
    return _digest(file.resolve(), state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _digest(file: Path, size: int, modified: int) -> str:
    """Read once for each state of a file: vectors and weights are large."""
    return file_digest(file)
