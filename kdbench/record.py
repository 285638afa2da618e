"""The record: what a finished cell left. Deterministic; times and machines are in ``run.json`` beside it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, JsonValue

from kdbench.schema import Spec

RECORD_VERSION = 1
"""Raised whenever the same spec would give other numbers or another layout; part of every key."""


EXAMPLES_FILE = "examples.parquet"
"""What became of every example of an evaluation: the file that all statistics are computed from."""


class FileEntry(Spec):
    """One file of a cell."""

    size: int = Field(ge=0, description="bytes")
    sha256: str


class Record(Spec):
    """A finished cell.

    The same spec gives the same record, byte for byte, however it was run (on CPU).
    """

    version: Literal[1] = 1
    key: str = Field(description="SHA-256 of the canonical JSON of spec")
    kind: Literal["teacher", "student", "evaluation"]
    spec: dict[str, JsonValue]
    metrics: dict[str, float] = Field(default_factory=dict)
    details: dict[str, JsonValue] = Field(default_factory=dict, description="everything else worth keeping")
    cost: dict[str, int] = Field(default_factory=dict, description="work done, in units free of any machine")
    flags: tuple[str, ...] = Field((), description="doubts that tables must show")
    files: dict[str, FileEntry] = Field(default_factory=dict)


class RunInfo(Spec):
    """How one cell happened to be run: not part of the record, different every time."""

    wall_seconds: float
    peak_memory_mb: float
    started: str
    host: str
    device: str
    versions: dict[str, str]
    measured: dict[str, Any] = Field(default_factory=dict, description="timings that an evaluation is about")
