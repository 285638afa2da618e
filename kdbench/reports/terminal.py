"""The report in the terminal."""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from kdbench.reports.entries import write_bounds
from kdbench.reports.model import Cell, Heading, PairReport, Report, Table

_MOST_NOTES = 8
_SUMMARY = (
    "in_domain", "in_domain_rank", "ood", "ood_rank", "attack", "attack_rank", "corruption", "agreement", "ece",
    "parameters", "updates", "seeds",
)  # fmt: skip
"""What of the summary fits on a screen; files have all of it."""


def print_report(report: Report, console: Console) -> None:
    """The summary of every pair and what differs; of a pair with a single task also every set."""
    for pair in report.pairs:
        title = f"{report.title} · {pair.name} · budget {report.provenance.budget}"
        console.print(_table(pair.summary, title, shown=_SUMMARY))
        if pair.differences:
            console.print(_table(pair.differences, pair.differences.title))
        if len(pair.tasks) == 1:
            console.print(_sets(pair))
    if report.across:
        console.print(_table(report.across, report.across.title))
        console.print(report.across.caption, style="dim", soft_wrap=False)
    console.print(" ".join(report.guide), style="dim")
    for failure in report.failed:
        console.print(Text(f"failed: {failure}", style="red"))
    for reason in report.unranked:
        console.print(Text(f"not ranked: {reason}", style="yellow"))
    for number, text in enumerate(report.footnotes[:_MOST_NOTES], start=1):
        console.print(Text(f"[{number}] {text}", style="yellow"))
    if len(report.footnotes) > _MOST_NOTES:
        console.print(f"{len(report.footnotes) - _MOST_NOTES} more notes are in leaderboard.md", style="yellow")
    if report.skipped:
        console.print(f"{len(report.skipped)} evaluations were not measured here; leaderboard.md says why")


def _table(table: Table, title: str, shown: Collection[str] = ()) -> RichTable:
    """A row for each method; of the columns those ``shown``, without intervals, or all."""
    picked = [i for i, heading in enumerate(table.headings) if not shown or heading.key in shown]
    rich = _empty(title, "method", [table.headings[i].title.replace("-", "-\n") for i in picked])
    for line in table.lines:
        cells = [_text(line.cells[i], table.headings[i], interval=not shown) for i in picked]
        rich.add_row(Text(line.name + _numbers(line.notes)), *cells, end_section=line.role == "teacher")
    return rich


def _sets(pair: PairReport) -> RichTable:
    """A row for each set, with intervals: there are more sets than methods."""
    table = pair.tasks[0]
    rich = _empty(f"{table.key}, set by set", "set", [line.name for line in table.lines])
    for index, heading in enumerate(table.headings):
        if heading.form == "percent":
            cells = [line.cells[index] for line in table.lines]
            rich.add_row(Text(heading.title), *(_text(cell, heading, between="\n") for cell in cells))
    return rich


def _text(cell: Cell, heading: Heading, between: str = " ", *, interval: bool = True) -> Text:
    mark = {"tied": " ≈"}.get(cell.mark, "") + _numbers(cell.notes)
    bounds = write_bounds(cell.low, cell.high, heading.form) if interval else ""
    parts = filter(None, (cell.text + mark, bounds))
    return Text(between.join(parts), style="bold" if cell.mark == "best" else "")


def _numbers(notes: tuple[int, ...]) -> str:
    return f" [{','.join(map(str, notes))}]" if notes else ""


def _empty(title: str, first: str, others: list[str]) -> RichTable:
    table = RichTable(title=title, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(Text(name.replace(" ", "\n")), justify="right")
    return table
