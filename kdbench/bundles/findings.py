"""What does not match, in words, and the table of everything that was looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from kdbench.manifest import Manifest
from kdbench.record import EXAMPLES_FILE


@dataclass(frozen=True)
class Finding:
    """Something that does not match.

    Attributes:
        what: what is wrong, and what that means.
        cell: who and where in the tables, in words.
        file: relative to the source.
        name: of the number, where it is about one.
        stated: what the record says.
        expected: what it should say: recomputed, or what the other rows say.
    """

    what: str
    cell: str = ""
    file: str = ""
    name: str = ""
    stated: Any = None
    expected: Any = None

    def __str__(self) -> str:
        where = ", ".join(filter(None, (self.cell, self.file)))
        numbers = f"{self.name}: stated {self.stated}, should be {self.expected}: " if self.name else ""
        return f"{where}: {numbers}{self.what}" if where else f"{numbers}{self.what}"


@dataclass
class Verification:
    """Everything found out about one source.

    Attributes:
        source: the path as it was given.
        manifests: that were checked.
        cells: how many were read.
        numbers: how many were computed again.
        not_recomputed: evaluation -> how many of its metrics no outcome tells.
        unfinished: suite, pair and method -> cells that were asked for and are not there.
        findings: what does not match.
    """

    source: str
    manifests: list[Manifest] = field(default_factory=list)
    cells: int = 0
    numbers: int = 0
    not_recomputed: Counter[str] = field(default_factory=Counter)
    unfinished: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "source": self.source,
            "suites": [f"{m.suite}, budget {m.budget}, version {m.version}" for m in self.manifests],
            "cells": self.cells,
            "numbers": self.numbers,
            "not_recomputed": dict(self.not_recomputed),
            "unfinished": dict(self.unfinished),
            "findings": [asdict(finding) for finding in self.findings],
        }


def record_file(key: str) -> str:
    """Where the record of a cell is, relative to its source."""
    return f"cells/{key[:2]}/{key}/record.json"


def outcomes_file(key: str) -> str:
    """Where the outcomes of a cell are."""
    return f"cells/{key[:2]}/{key}/{EXAMPLES_FILE}"
