"""What every study is made of: sections of tables, findings and one panel of the figure each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kdbench.reports.difference import Difference
from kdbench.reports.entries import interval, single, write_entry
from kdbench.reports.plots import Panel, Point
from kdbench.reports.table import Value


@dataclass(frozen=True)
class Table:
    """Texts in rows; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """One setting of the study: what was measured, and what can and cannot be said about it.

    Attributes:
        title: pair and task, or task and student.
        tables: for people.
        findings: sentences; whatever is not separable is said not to be.
        panel: its part of the figure.
        data: one mapping per student and seed, plain numbers, ``None`` where there is none.
    """

    title: str
    tables: tuple[Table, ...]
    findings: tuple[str, ...]
    panel: Panel
    data: tuple[dict[str, object], ...]


@dataclass(frozen=True)
class Study:
    """A whole study.

    Attributes:
        title: its question.
        guide: how its numbers are to be read.
        caption: what the figure shows.
    """

    title: str
    guide: str
    caption: str
    sections: tuple[Section, ...]


def write_score(value: Value | None) -> str:
    """In percent, with sd over seeds, or Wilson's interval with one seed, or why there is no number."""
    entry = None if value is None else single(value)
    return f"{write_entry(entry, 'percent')} {interval(entry)}".strip()


def write_percent(number: float) -> str:
    """In percent, or a dash."""
    return "–" if math.isnan(number) else f"{number * 100:.1f}"


def write_count(number: float) -> str:
    """A whole number, or a dash."""
    return "–" if math.isnan(number) else f"{number:,.0f}"


def plot_point(x: float, value: Value | None) -> Point:
    """A value as a point with its bar: Wilson's interval with one seed, ± sd with several. A gap unless whole."""
    if value is None or value.status != "ok":
        return Point(x, math.nan)
    low, high = value.low, value.high
    if not math.isnan(value.sd):
        low, high = value.mean - value.sd, value.mean + value.sd
    return Point(x, value.mean, low, high)


def whole(value: Value | None) -> bool:
    """Whether every planned seed of it finished."""
    return value is not None and value.status == "ok"


def gap(first: Value | None, second: Value | None, difference: Difference | None, target: str) -> str:
    """``1.2 points below TARGET (not separable)``; ``target`` names the second."""
    if first is None or second is None:
        return f"at an unknown distance from {target}"
    points = (first.mean - second.mean) * 100
    verdict = difference.verdict if difference else "not tested: no paired outcomes"
    where = f"{abs(points):.1f} points {'above' if points > 0 else 'below'}" if points else "level with"
    return f"{where} {target} ({verdict})"
