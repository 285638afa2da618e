"""What a cell has at hand while it runs, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdbench.locations import Locations
from kdbench.store import Store


@dataclass(frozen=True)
class Job:
    """One cell about to run.

    Attributes:
        spec: everything that can change the result, and nothing else.
        paths: fingerprint -> local file, for data that has no place in a mirror.
        out: files written here become the cell's files.
        work: survives an interruption.
        report: progress as plain data, for people to watch.
    """

    key: str
    spec: dict[str, Any]
    paths: dict[str, str]
    store: Store
    locations: Locations
    out: Path
    work: Path
    device: str = "auto"
    trackers: tuple[str, ...] = ()
    report: Callable[[dict[str, Any]], None] = lambda _: None

    def upstream(self, role: str) -> Path:
        """The folder of a finished upstream cell."""
        return self.store.cell(self.spec["upstream"][role])


@dataclass(frozen=True)
class CellResult:
    """What goes into the record; ``measured`` holds timings and goes beside it."""

    metrics: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, int] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    measured: dict[str, Any] = field(default_factory=dict)
