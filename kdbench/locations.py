"""Where data, models and caches are found on this machine: never part of a cell's key."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


def _folders(variable: str) -> tuple[Path, ...]:
    return tuple(Path(part) for part in os.environ.get(variable, "").split(os.pathsep) if part)


def _absolute(*folders: Path) -> tuple[Path, ...]:
    """Whoever reads from them may have changed the working directory."""
    return tuple(folder.absolute() for folder in folders)


@dataclass(frozen=True)
class Locations:
    """The places that are searched, in this order: mirrors, packages, the hub.

    Attributes:
        data: mirrors laid out as ``<dataset id>/<config>/<split>.parquet``.
        models: mirrors laid out as ``<model id>/``.
        cache: what kdbench derives from packages (parquet files, WordNet), made again when lost.
        offline: never ask the hub or the package index.
        hub: whether the hub answered; only ``run`` finds out.
    """

    data: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()
    cache: Path = field(default_factory=lambda: Path.home() / ".cache" / "kdbench")
    offline: bool = False
    hub: bool = True

    @classmethod
    def from_environment(
        cls, data: tuple[Path, ...] = (), models: tuple[Path, ...] = (), offline: bool = False
    ) -> Locations:
        """Options first, then ``KDBENCH_DATA``, ``KDBENCH_MODELS``, ``KDBENCH_CACHE``, ``KDBENCH_OFFLINE``."""
        cache = os.environ.get("KDBENCH_CACHE")
        return cls(
            data=_absolute(*data, *_folders("KDBENCH_DATA")),
            models=_absolute(*models, *_folders("KDBENCH_MODELS")),
            cache=Path(cache).absolute() if cache else Path.home() / ".cache" / "kdbench",
            offline=offline or os.environ.get("KDBENCH_OFFLINE", "") not in ("", "0"),
        )

    def environment(self) -> dict[str, str]:
        """The same as environment variables, for worker processes."""
        return {
            "KDBENCH_DATA": os.pathsep.join(str(path.resolve()) for path in self.data),
            "KDBENCH_MODELS": os.pathsep.join(str(path.resolve()) for path in self.models),
            "KDBENCH_CACHE": str(self.cache.resolve()),
            "KDBENCH_OFFLINE": "1" if self.offline else "0",
        }

    def assets(self) -> tuple[Path, ...]:
        """Folders that may hold attack assets: ``resources/`` of every data mirror."""
        return tuple(path / "resources" for path in self.data)
