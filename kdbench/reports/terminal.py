"""The leaderboard in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kdbench.reports.columns import Column, interval, summary_columns, task_columns, write_entry
from kdbench.reports.markdown import reading_guide
from kdbench.reports.table import Leaderboard
from kdbench.rows import TEACHER


def print_leaderboard(board: Leaderboard, console: Console) -> None:
    """The summary of every pair; of one with a single task also every set."""
    for pair in board.pairs:
        title = f"{board.manifest.suite} · {pair} · budget {board.manifest.budget}"
        console.print(_table(board, pair, summary_columns(board), title))
        tasks = list(dict.fromkeys(row.task for row in board.manifest.rows if row.pair == pair))
        if len(tasks) == 1:
            columns = [c for c in task_columns(board, tasks[0]) if c.form == "percent"]
            console.print(_sets(board, pair, columns, f"{tasks[0]}, set by set"))
    console.print(reading_guide(board), style="dim")
    for failure in board.failures:
        console.print(Text(f"failed: {failure}", style="red"))
    for flag in board.flags:
        console.print(Text(f"flag: {flag}", style="yellow"))
    if board.manifest.skipped:
        console.print(f"{len(board.manifest.skipped)} evaluations were not measured here; leaderboard.md says why")


def _table(board: Leaderboard, pair: str, columns: list[Column], title: str) -> Table:
    """A row for each method."""
    columns = [column for column in columns if any(column.entry(pair, method) for method in board.methods(pair))]
    table = _empty(title, "method", [column.title.replace("-", "-\n") for column in columns])
    for method in board.methods(pair):
        cells = [Text(write_entry(column.entry(pair, method), column.form)) for column in columns]
        table.add_row(Text(method), *cells, end_section=method == TEACHER)
    return table


def _sets(board: Leaderboard, pair: str, columns: list[Column], title: str) -> Table:
    """A row for each set, with intervals: there are more sets than methods."""
    methods = board.methods(pair)
    table = _empty(title, "set", methods)
    for column in columns:
        entries = [column.entry(pair, method) for method in methods]
        if any(entries):
            cells = ["\n".join(filter(None, [write_entry(entry, column.form), interval(entry)])) for entry in entries]
            table.add_row(Text(column.title), *map(Text, cells))
    return table


def _empty(title: str, first: str, others: list[str]) -> Table:
    table = Table(title=title, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(Text(name.replace(" ", "\n")), justify="right")
    return table
