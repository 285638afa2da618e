"""What every engine does: take a plan, finish its cells in a store, tell what happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from kdbench.plan import Plan
from kdbench.store import Store


@dataclass(frozen=True)
class Event:
    """Something that happened to a cell."""

    kind: Literal["started", "progress", "finished", "failed", "blocked"]
    key: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """What became of the cells of a plan."""

    reused: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    interrupted: bool = False


class Engine(Protocol):
    """Runs cells; gives each a store and a key, nothing else."""

    def run(self, plan: Plan, store: Store, on_event: Callable[[Event], None], *, fail_fast: bool) -> Outcome:
        """Finish every cell that is not finished yet, upstream first."""
        ...
