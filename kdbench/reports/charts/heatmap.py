"""In-domain scores of every method on every task, each task with a colour scale of its own."""

from __future__ import annotations

import math

from kdbench.reports.charts.style import Spec, short_names, shorten
from kdbench.reports.entries import FORMS, write_bounds
from kdbench.reports.model import Cell, Heading, PairReport, Report, Table

_LONGEST_TASK = 13
_BOLD_IF_BEST = "datum.best ? 'bold' : 'normal'"
_GAPS = {"paddingInner": 0.06, "paddingOuter": 0}


def mapped_pairs(report: Report) -> list[PairReport]:
    """Pairs with at least two tasks: a single one is a column of its table."""
    return [pair for pair in report.pairs if sum(_primary(task) is not None for task in pair.tasks) > 1]


def _primary(task: Table) -> Heading | None:
    """The first in-domain column."""
    return next((heading for heading in task.headings if heading.key.startswith("in_domain/")), None)


def heatmap_chart(pair: PairReport) -> Spec:
    """Methods down, tasks across; the teacher in a row apart, which no colour depends on."""
    tables = [(task, heading) for task in pair.tasks if (heading := _primary(task))]
    shown = short_names([line.name for line in pair.summary.lines])
    order = list(shown.values())
    rows = [row for task, heading in tables for row in _rows(task, heading, shown)]
    tooltip = [
        {"field": field, "title": title}
        for field, title in (("name", "method"), ("task", "task"), ("score", "in-domain"), ("metric", "metric"))
    ]
    top = {"orient": "top", "domain": False, "ticks": False, "labelAngle": 0, "labelFontWeight": "bold"}
    tasks = [shorten(task.key, _LONGEST_TASK) for task, _ in tables]

    def part(group: str, axis: Spec | None) -> Spec:
        x: Spec = {"field": "task", "type": "nominal", "sort": tasks, "title": None, "axis": axis, "scale": _GAPS}
        y: Spec = {"field": "method", "type": "nominal", "sort": order, "title": None, "scale": _GAPS}
        y["axis"] = {"domain": False, "ticks": False}
        return {
            "width": {"step": 84},
            "height": {"step": 25},
            "data": {"values": [row for row in rows if row["group"] == group]},
            "encoding": {"x": x, "y": y, "tooltip": tooltip},
            "layer": [
                {
                    "mark": "rect",
                    "encoding": {
                        "color": {
                            "field": "share",
                            "type": "quantitative",
                            "scale": {"domain": [0, 1], "range": "heatmap", "interpolate": "rgb"},
                            "legend": None,
                            "condition": {"test": "!isValid(datum.share)", "value": "transparent"},
                        }
                    },
                },
                {
                    "mark": {"type": "text", "baseline": "middle", "dy": 1, "fontWeight": {"expr": _BOLD_IF_BEST}},
                    "encoding": {"text": {"field": "text"}},
                },
            ],
        }  # fmt: skip

    groups = [group for group in ("teacher", "student") if any(row["group"] == group for row in rows)]
    return {
        "description": f"In-domain scores of {pair.name} by method and task; colours run from the lowest to the "
        "highest student of each task.",
        "vconcat": [part(group, top if i == 0 else None) for i, group in enumerate(groups)],
        "spacing": 6,
    }


def _rows(task: Table, heading: Heading, shown: dict[str, str]) -> list[Spec]:
    cells = task.column(heading.key)
    roles = {line.name: line.role for line in task.lines}
    numbers = [c.number for name, c in cells.items() if roles[name] != "teacher" and not math.isnan(c.number)]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 0.0)
    return [
        {
            "task": shorten(task.key, _LONGEST_TASK),
            "metric": heading.title,
            "name": name,
            "method": shown[name],
            "group": "teacher" if roles[name] == "teacher" else "student",
            "share": None if roles[name] == "teacher" else _share(cell.number, low, high),
            "text": _number(cell, heading),
            "score": f"{cell.text} {write_bounds(cell.low, cell.high, heading.form)}".strip(),
            "best": roles[name] != "teacher" and cell.number == high and heading.better >= 0,
        }
        for name, cell in cells.items()
    ]


def _share(number: float, low: float, high: float) -> float | None:
    """Where a number stands between the lowest and the highest; the middle where all are equal."""
    if math.isnan(number):
        return None
    return round((number - low) / (high - low), 4) if high > low else 0.5


def _number(cell: Cell, heading: Heading) -> str:
    """Without its spread, which is in the table; in words where there is no number."""
    if math.isnan(cell.number):
        return cell.text if cell.status == "none" else cell.status
    factor, digits = FORMS[heading.form]
    return f"{cell.number * factor:.{digits}f}"
