"""The report as CSV: the summary table, and one tidy row per measured value."""

from __future__ import annotations

import pandas as pd

from kdbench.reports.entries import plain
from kdbench.reports.model import Report
from kdbench.reports.table import Leaderboard


def summary_csv(report: Report) -> str:
    """One row per pair and method; fractions, counts and minutes as plain numbers, empty where not whole."""
    rows = []
    for pair in report.pairs:
        for line in pair.summary.lines:
            row: dict[str, object] = {"pair": safe_name(pair.name), "method": safe_name(line.name)}
            for heading, cell in zip(pair.summary.headings, line.cells, strict=True):
                row[heading.key] = cell.text if heading.form == "text" else plain(cell.number)
                if heading.form == "percent":
                    row[f"{heading.key}_sd"] = plain(cell.spread)
            row |= _differences(report, pair.name, line.name)
            rows.append(row)
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def _differences(report: Report, pair: str, method: str) -> dict[str, float | None]:
    """Difference to the reference, its interval and its p-value, for each axis."""
    table = next(p.differences for p in report.pairs if p.name == pair)
    line = next((line for line in table.lines if line.name == method), None) if table else None
    if table is None or line is None:
        return {}
    found: dict[str, float | None] = {}
    for heading, cell in zip(table.headings, line.cells, strict=True):
        if heading.form == "points":
            found[f"{heading.key}_difference"] = plain(cell.number)
            found[f"{heading.key}_low"], found[f"{heading.key}_high"] = plain(cell.low), plain(cell.high)
        else:
            found[heading.key] = plain(cell.number)
    return found


def tidy_csv(board: Leaderboard) -> str:
    """One row per method × pair × task × evaluation × set × metric, over seeds."""
    rows = [
        {
            "method": safe_name(place.method),
            "pair": safe_name(place.pair),
            "task": safe_name(place.task),
            "evaluation": place.evaluation,
            "dataset": safe_name(place.dataset),
            "metric": place.metric,
            "mean": plain(value.mean),
            "sd": plain(value.sd),
            "low": plain(value.low),
            "high": plain(value.high),
            "seeds": value.seeds[0],
            "seeds_planned": value.seeds[1],
            "examples": value.examples,
            "status": value.status,
        }
        for place, value in board.values.items()
    ]
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def safe_name(name: str) -> str:
    """A name that a spreadsheet will not take for a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@")) else name
