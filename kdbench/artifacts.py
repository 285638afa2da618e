"""A content-addressed cache for work that several cells share: computed once, published whole."""

from __future__ import annotations

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
