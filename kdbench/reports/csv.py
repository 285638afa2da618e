"""The leaderboard as CSV: the summary table, and one tidy row per measured value."""

from __future__ import annotations

import math

import pandas as pd

from kdbench.reports.columns import summary_columns
from kdbench.reports.table import Leaderboard


def summary_csv(board: Leaderboard) -> str:
    """One row per pair and method; fractions, counts and minutes as plain numbers, empty where not whole."""
    columns = summary_columns(board)
    rows = []
    for pair in board.pairs:
        for method in board.methods(pair):
            row: dict[str, object] = {"pair": safe_name(pair), "method": safe_name(method)}
            for column in columns:
                entry = column.entry(pair, method)
                row[column.title] = _number(entry.number if entry else math.nan)
                if column.form == "percent":
                    row[f"{column.title} sd"] = _number(entry.spread if entry else math.nan)
            rows.append(row)
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


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
            "mean": _number(value.mean),
            "sd": _number(value.sd),
            "low": _number(value.low),
            "high": _number(value.high),
            "seeds": value.seeds[0],
            "seeds_planned": value.seeds[1],
            "examples": value.examples,
            "status": value.status,
        }
        for place, value in board.values.items()
    ]
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.8g}")


def safe_name(name: str) -> str:
    """A name that a spreadsheet will not take for a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@")) else name
