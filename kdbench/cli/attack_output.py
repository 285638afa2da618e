"""What ``kdbench attack`` tells people: progress and doubts on standard error, results on standard output."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from kdbench.cli.console import console
from kdbench.reports.attack_summary import attack_tables, security_curve, successful_pairs
from kdbench.victims.results import Results
from kdbench.victims.session import Session

_NOTE_SECONDS = 30


def say(text: str, style: str | None = None) -> None:
    """A line on standard error."""
    _errors().print(text, style=style, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """A doubt, on standard error."""
    say(f"warning: {text}", style="yellow")


@contextmanager
def watch(name: str) -> Iterator[Callable[[str, float], None]]:
    """Yields the function that an attack tells its progress to: a bar in a terminal, now and then a line elsewhere."""
    errors = _errors()
    if not errors.is_terminal:
        say(f"{name}: started")
        yield _Lines(name)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as progress:
        bar, running = progress.add_task(name, total=1.0), ""

        def report(stage: str, share: float) -> None:
            nonlocal running
            if stage != running:
                progress.reset(bar, description=f"{name}: {stage}")
                running = stage
            progress.update(bar, completed=share)

        yield report


class _Lines:
    """A note of life every half minute."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stage = ""
        self.start = self.last = time.monotonic()

    def __call__(self, stage: str, share: float) -> None:
        now = time.monotonic()
        if stage != self.stage:
            self.stage, self.start = stage, now
        if now - self.last < _NOTE_SECONDS or not share:
            return
        self.last = now
        left = (now - self.start) * (1 - share) / share
        what = f"{self.name}: {stage}" if stage else self.name
        say(f"{what}: {share:.0%}, about {left:.0f} s left")


def print_results(session: Session, results: Results, show: int) -> None:
    """The table, and of attacks on texts some successes."""
    request = session.request
    entries = {a.name: results.summary.attacks[a.name] for a in request.attacks if a.name in results.tables}
    title = f"{request.dataset.name} {request.dataset.split}, {len(session.examples)} examples"
    for table in attack_tables(entries, title, console.width):
        console.print(table)
    for name, entry in entries.items():
        if curve := security_curve(entry):
            console.print(f"{name}: accuracy {curve}", markup=False, soft_wrap=True)
        console.print(entry.version, style="dim", markup=False, soft_wrap=True)
    for name in entries if request.task.modality == "text" and show else ():
        console.print(f"\n{name}", style="bold", markup=False)
        for pair in successful_pairs(results.tables[name], show, request.task.labels):
            console.print(pair, soft_wrap=True)


def _errors() -> Console:
    return Console(stderr=True, highlight=False)
