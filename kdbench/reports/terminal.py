"""The leaderboard in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kdbench.reports.columns import Column, interval, summary_columns, task_columns, write_entry
from kdbench.reports.markdown import reading_guide
from kdbench.reports.table import Leaderboard


def print_leaderboard(board: Leaderboard, console: Console) -> None:
    """The summary of every pair; for a single task also every set."""
    for pair in board.pairs:
        title = f"{board.manifest.suite} · {pair} · budget {board.manifest.budget}"
        console.print(_table(board, pair, summary_columns(board), title))
        if len(board.tasks) == 1:
            task = board.tasks[0]
            columns = [c for c in task_columns(board, task) if c.form == "percent"]
            console.print(_table(board, pair, columns, f"{task}, set by set", intervals=True))
    console.print(reading_guide(board), style="dim")
    for failure in board.failures:
        console.print(Text(f"failed: {failure}", style="red"))
    for flag in board.flags:
        console.print(Text(f"flag: {flag}", style="yellow"))
    if board.manifest.skipped:
        console.print(f"{len(board.manifest.skipped)} evaluations were not measured here; leaderboard.md says why")


def _table(board: Leaderboard, pair: str, columns: list[Column], title: str, *, intervals: bool = False) -> Table:
    table = Table(title=title, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("method", no_wrap=True)
    for column in columns:
        table.add_column(column.title.replace(" ", "\n").replace("-", "-\n"), justify="right", no_wrap=True)
    for method in board.methods(pair):
        cells = []
        for column in columns:
            entry = column.entry(pair, method)
            text = write_entry(entry, column.form)
            cells.append(Text("\n".join(filter(None, [text, interval(entry) if intervals else ""]))))
        table.add_row(Text(method), *cells, end_section=method == "teacher")
    return table
