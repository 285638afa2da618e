"""A study as Markdown, CSV, figure and in the terminal."""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from kdbench.reports.csv import safe_name
from kdbench.reports.markdown import escape
from kdbench.reports.plots import render
from kdbench.reports.studies.base import Study, Table
from kdbench.reports.table import Leaderboard


def study_files(study: Study, board: Leaderboard) -> dict[str, str | bytes]:
    """``study.md``, ``study.csv``, ``study.svg`` and ``study.png``, by name."""
    figure = render([section.panel for section in study.sections])
    return {
        "study.md": to_markdown(study, board),
        "study.csv": to_csv(study),
        **{f"study.{kind}": content for kind, content in figure.items()},
    }


def to_markdown(study: Study, board: Leaderboard) -> str:
    """Figure, then tables and findings of every section."""
    manifest = board.manifest
    lines = [f"# {study.title}", ""]
    lines += [f"Suite {manifest.suite} {manifest.suite_version}, budget {manifest.budget}, version {manifest.version}. "
              "Everything else that was measured: [leaderboard.md](leaderboard.md). "
              "Numbers by seed: [study.csv](study.csv).", ""]  # fmt: skip
    lines += [f"![{study.title}](study.svg)", "", f"*{study.caption} {bars(board)}*", ""]
    for section in study.sections:
        lines += [f"## {escape(section.title)}", "", *(f"- {escape(finding)}" for finding in section.findings), ""]
        for table in section.tables:
            lines += [f"**{table.title}**", "", *_rows(table), ""]
    lines += ["## How to read this", "", study.guide, "", scores(board)]
    return "\n".join(lines).rstrip() + "\n"


def bars(board: Leaderboard) -> str:
    """What error bars are."""
    return (
        "Bars: ± standard deviation over seeds."
        if len(board.seeds) > 1
        else "Bars: 95 % Wilson intervals over examples, where the metric is a share of them."
    )


def scores(board: Leaderboard) -> str:
    """What the scores in the tables are."""
    seeds = ", ".join(map(str, board.seeds))
    if len(board.seeds) > 1:
        spread = f"means ± standard deviation over the seeds {seeds}"
    else:
        spread = f"of one seed ({seeds}); brackets are 95 % Wilson intervals over examples, not the spread of training"
    return (
        f"Scores are each task's primary metric on the reported split, in percent: {spread}. "
        "What is missing or failed is shown as such and never averaged away."
    )


def to_csv(study: Study) -> str:
    """One row per student and seed, in fractions; empty where there is no number."""
    rows = [
        {name: safe_name(value) if isinstance(value, str) else value for name, value in row.items()}
        for section in study.sections
        for row in section.data
    ]
    table = pd.DataFrame(rows)
    for column in ("checkpoint", "student_updates"):
        if column in table:
            table[column] = table[column].astype("Int64")
    return table.to_csv(index=False, lineterminator="\n")


def print_study(study: Study, console: Console) -> None:
    """Tables and findings."""
    console.print(Text(study.title, style="bold"))
    for section in study.sections:
        for table in section.tables:
            console.print(_rich(table, f"{section.title} · {table.title}"))
        for finding in section.findings:
            console.print(Text(f"• {finding}"))


def _rows(table: Table) -> list[str]:
    lines = ["| " + " | ".join(map(escape, table.columns)) + " |", "|---|" + "---:|" * (len(table.columns) - 1)]
    return lines + ["| " + " | ".join(map(escape, row)) + " |" for row in table.rows]


def _rich(table: Table, title: str) -> RichTable:
    rich = RichTable(title=Text(title), title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    for index, column in enumerate(table.columns):
        rich.add_column(Text(column), justify="right" if index else "left")
    for row in table.rows:
        rich.add_row(*map(Text, row))
    return rich
