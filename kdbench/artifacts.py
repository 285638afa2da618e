"""A content-addressed cache for work that several cells share: computed once, published whole."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kdbench.hashing import digest
from kdbench.locks import locked


class ArtifactCache:
    """Folders by kind and key. Losing one costs time only: it is made again."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, kind: str, key: dict[str, Any], produce: Callable[[Path], None]) -> Path:
        """The folder for ``key``; ``produce`` fills it when it does not exist.

        Processes that ask at the same time wait for the one that works on it.
        """
        name = digest({"kind": kind, **key})[:32]
        target = self.root / kind / name
        if target.is_dir():
            with contextlib.suppress(OSError):
                os.utime(target)  # for trim: used just now
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.parent / f"{name}.lock"):
            if target.is_dir():
                return target
            scratch = target.parent / f"{name}.tmp"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            produce(scratch)
            scratch.rename(target)
        return target

    def trim(self, kind: str, most_bytes: int) -> None:
        """Delete what was not used for longest until a kind takes at most ``most_bytes``.

        A reader may lose what it is about to read, and makes it again.
        """
        found = []
        for folder in (self.root / kind).glob("*/"):
            with contextlib.suppress(OSError):
                size = sum(file.stat().st_size for file in folder.iterdir())
                found.append((folder.stat().st_mtime, size, folder))
        total = sum(size for _, size, _ in found)
        for _, size, folder in sorted(found):
            if total <= most_bytes:
                break
            if not folder.name.endswith(".tmp"):
                shutil.rmtree(folder, ignore_errors=True)
                total -= size
