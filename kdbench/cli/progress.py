"""Watching a run: live bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from kdbench.cli.console import console
from kdbench.engines.base import Event
from kdbench.plan import Plan
from kdbench.store import Store


@contextmanager
def watch(plan: Plan, store: Store) -> Iterator[Callable[[Event], None]]:
    """Yields the function that an engine tells its events to."""
    left = _TimeLeft(plan, store)
    if not console.is_terminal:
        yield _Lines(plan, left)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bars(plan, left, progress)


class _TimeLeft:
    """Weighs what is left with the pace so far."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan = plan
        self.start = time.monotonic()
        self.open = {key: cell.weight for key, cell in plan.cells.items() if not store.record(key)}
        self.total = sum(self.open.values())
        self.cells = len(self.open)
        self.partial: dict[str, float] = {}

    def update(self, event: Event) -> None:
        if event.kind == "progress" and event.data["total"]:
            self.partial[event.key] = event.data["step"] / event.data["total"]
        elif event.kind in ("finished", "failed", "blocked"):
            self.open.pop(event.key, None)

    @property
    def done(self) -> int:
        return self.cells - len(self.open)

    def __str__(self) -> str:
        left = sum(weight * (1 - self.partial.get(key, 0.0)) for key, weight in self.open.items())
        spent = time.monotonic() - self.start
        if self.total - left < 0.02 * self.total:
            return "time left: estimating"
        seconds = spent * left / (self.total - left)
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"


class _Lines:
    """One line per cell that starts, ends or fails; a note of life every half minute."""

    def __init__(self, plan: Plan, left: _TimeLeft) -> None:
        self.plan = plan
        self.left = left
        self.last = time.monotonic()

    def __call__(self, event: Event) -> None:
        self.left.update(event)
        title = self.plan.cells[event.key].title
        if event.kind == "progress":
            if time.monotonic() - self.last > 30:
                self.last = time.monotonic()
                self._print(f"{title}: {_moment(event)} ({self.left})")
            return
        self.last = time.monotonic()
        if event.kind == "started" and self.plan.cells[event.key].kind == "evaluation":
            return
        note = f": {event.data['message'].splitlines()[0]}" if event.kind == "failed" else ""
        self._print(f"[{self.left.done}/{self.left.cells}] {event.kind} {title}{note}")

    @staticmethod
    def _print(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False)


class _Bars:
    """A bar for the run and one for every cell in flight."""

    def __init__(self, plan: Plan, left: _TimeLeft, progress: Progress) -> None:
        self.plan = plan
        self.left = left
        self.progress = progress
        self.all = progress.add_task("all cells", total=left.cells, note="")
        self.bars: dict[str, TaskID] = {}

    def __call__(self, event: Event) -> None:
        self.left.update(event)
        self.progress.update(self.all, completed=self.left.done, note=str(self.left))
        title = self.plan.cells[event.key].title
        if event.kind == "started":
            self.bars[event.key] = self.progress.add_task(title, total=None, note="")
        elif event.kind == "progress" and event.key in self.bars:
            data = event.data
            self.progress.update(
                self.bars[event.key], completed=data["step"], total=data["total"], note=_moment(event, bar=True)
            )
        elif event.kind in ("finished", "failed"):
            bar = self.bars.pop(event.key, None)
            if bar is not None:
                self.progress.remove_task(bar)
            if event.kind == "failed":
                text = f"failed: {title}: {event.data['message'].splitlines()[0]}"
                self.progress.console.print(Text(text, style="red"))


def _moment(event: Event, *, bar: bool = False) -> str:
    data = event.data
    terms = " ".join(f"{name}={value:.3g}" for name, value in data["terms"].items())
    where = data["stage"] if bar else f"{data['stage']} {data['step']}/{data['total']}"
    return f"{where} {terms}".strip()
