"""Accuracy against cost: every method a named point, those that no other beats on both axes joined by a line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kdbench.reports.axes import AXES
from kdbench.reports.charts.labels import Box, along, place_labels
from kdbench.reports.charts.style import GREY, Spec, log_ticks, method_names, method_scales, short_names, shorten
from kdbench.reports.entries import FORMS, write_bounds
from kdbench.reports.model import Cell, PairReport, Report, Role

COSTS = {
    "parameters": "parameters, millions",
    "flops": "GFLOPs per batch",
    "latency_ms": "latency per batch, ms",
    "minutes": "training time, minutes",
}
"""Columns of the summary that a horizontal axis can be, and its title."""

SCORES = {axis: f"{title}, %" for axis, title in AXES.items()}
"""Columns of the summary that a vertical axis can be, and its title."""


_LOG_FROM = 8


@dataclass(frozen=True)
class Point:
    """A method of a pair, in the units of the axes; the texts are those of the table, with intervals."""

    pair: str
    method: str
    role: Role
    x: float
    y: float
    x_text: str
    y_text: str


def points(pairs: Sequence[PairReport], cost: str, score: str) -> list[Point]:
    """Every method that has both numbers."""
    found = []
    for pair in pairs:
        headings = {heading.key: heading for heading in pair.summary.headings}
        xs, ys = pair.summary.column(cost), pair.summary.column(score)
        for line in pair.summary.lines:
            x, y = xs.get(line.name, Cell("")), ys.get(line.name, Cell(""))
            if math.isnan(x.number) or math.isnan(y.number):
                continue
            its = (x, headings[cost]), (y, headings[score])
            across, up = (cell.number * FORMS[heading.form][0] for cell, heading in its)
            x_text, y_text = (f"{c.text} {write_bounds(c.low, c.high, h.form)}".strip() for c, h in its)
            found.append(Point(pair.name, line.name, line.role, across, up, x_text, y_text))
    return found


def non_dominated(costs_and_scores: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether no other point has a cost as low and a score as high, one of them better."""
    return [not any(a <= x and b >= y and (a, b) != (x, y) for a, b in costs_and_scores) for x, y in costs_and_scores]


def costs_of(report: Report) -> list[str]:
    """Costs that can be drawn: those that differ between points."""
    return [cost for cost in COSTS if len({point.x for s in SCORES for point in points(report.pairs, cost, s)}) > 1]


def scores_of(report: Report, cost: str) -> list[str]:
    """Scores that at least two points have beside the cost."""
    return [score for score in SCORES if len(points(report.pairs, cost, score)) > 1]


def default_cost(report: Report) -> str:
    """Training time where all students are of one size, else the first cost there is; empty for none."""
    known = costs_of(report)
    sizes = {p.x for s in SCORES for p in points(report.pairs, "parameters", s) if p.role != "teacher"}
    return "minutes" if len(sizes) < 2 and "minutes" in known else known[0] if known else ""


def pareto_chart(
    report: Report, pairs: Sequence[PairReport], cost: str, score: str, size: tuple[int, int] = (640, 400)
) -> Spec:
    """One panel, a legend only where not every point has its name beside it.

    Args:
        report: fixes which method has which colour and shape.
        pairs: whose methods are drawn.
        cost, score: of :data:`COSTS` and :data:`SCORES`.
        size: width and height of the panel in pixels.
    """
    found = points(pairs, cost, score)
    best = non_dominated([(point.x, point.y) for point in found])
    x, y = _Axis.over([p.x for p in found], size[0], log=True), _Axis.over([p.y for p in found], size[1], down=True)
    shown = short_names(method_names(report))
    names, whole = _names(found, best, shown, x, y)
    ways = {
        "x": _quantitative("x", COSTS[cost] + (" (log scale)" if x.log else ""), x),
        "y": _quantitative("y", SCORES[score], y),
    }
    rows = [
        {"name": p.method, "method": shown[p.method], "pair": p.pair, "best": b}
        | {"x": round(p.x, 4), "y": round(p.y, 4), "cost": p.x_text, "score": p.y_text}
        for p, b in zip(found, best, strict=True)
    ]
    return {
        "description": f"{SCORES[score]} against {COSTS[cost]}, one point for each method; a dashed line joins those "
        "that no other beats on both.",
        "width": size[0],
        "height": size[1],
        "data": {"values": rows},
        "encoding": ways,
        "layer": [_frontier(), *_labels(names, ways), _points(report, cost, score, legend=not whole)],
    }


def _frontier() -> Spec:
    return {
        "transform": [{"filter": "datum.best"}],
        "mark": {"type": "line", "strokeDash": [4, 3], "strokeWidth": 1.2, "color": GREY},
        "encoding": {"order": {"field": "x", "type": "quantitative"}},
    }


def _points(report: Report, cost: str, score: str, *, legend: bool) -> Spec:
    scales = method_scales(method_names(report))
    guide = {"orient": "bottom", "columns": 4} if legend else None
    by = {
        channel: {"field": "method", "type": "nominal", "scale": scales[channel], "legend": guide}
        for channel in ("color", "shape")
    }
    titles = {"name": "method", "pair": "pair", "score": SCORES[score], "cost": COSTS[cost]}
    tooltip = [{"field": field, "title": title} for field, title in titles.items()]
    return {"mark": {"type": "point", "size": 110}, "encoding": {**by, "tooltip": tooltip}}


def _labels(names: Sequence[Spec], ways: Spec) -> Iterator[Spec]:
    """Texts, and lines from those that stand apart to their points."""
    yield {
        "data": {"values": [name for name in names if "end_x" in name]},
        "mark": {"type": "rule", "strokeWidth": 0.7, "color": GREY},
        "encoding": {"x2": {"field": "end_x"}, "y2": {"field": "end_y"}},
    }
    for align in ("left", "center", "right"):
        yield {
            "data": {"values": [name for name in names if name["align"] == align]},
            "mark": {"type": "text", "align": align, "baseline": "middle"},
            "encoding": {
                **{way: {**encoding, "field": f"text_{way}"} for way, encoding in ways.items()},
                "text": {"field": "text"},
            },
        }


@dataclass(frozen=True)
class _Axis:
    """Numbers to pixels and back, linear or logarithmic."""

    low: float
    high: float
    length: float
    log: bool
    down: bool

    @staticmethod
    def over(values: Sequence[float], length: float, *, log: bool = False, down: bool = False) -> _Axis:
        """With some air at both ends; logarithmic only over a wide range."""
        low, high = min(values), max(values)
        if log and low > 0 and high / low >= _LOG_FROM:
            air = (high / low) ** 0.08
            return _Axis(low / air, high * air, length, True, down)
        air = 0.08 * (high - low) or 0.5
        return _Axis(low - air, high + air, length, False, down)

    def pixel(self, value: float) -> float:
        share = (self._flat(value) - self._flat(self.low)) / (self._flat(self.high) - self._flat(self.low))
        return self.length * (1 - share if self.down else share)

    def value(self, pixel: float) -> float:
        share = 1 - pixel / self.length if self.down else pixel / self.length
        flat = self._flat(self.low) + share * (self._flat(self.high) - self._flat(self.low))
        return math.exp(flat) if self.log else flat

    def _flat(self, value: float) -> float:
        return math.log(value) if self.log else value


def _quantitative(field: str, title: str, axis: _Axis) -> Spec:
    scale: Spec = {"domain": [axis.low, axis.high], "nice": False}
    ticks: Spec = {"values": log_ticks(axis.low, axis.high)} if axis.log else {"tickCount": 5}
    scale |= {"type": "log"} if axis.log else {"zero": False}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": ticks}


def _names(
    found: Sequence[Point], best: Sequence[bool], shown: dict[str, str], x: _Axis, y: _Axis
) -> tuple[list[Spec], bool]:
    """Names and their places in the units of the axes, and whether every point has one.

    Of several pairs only the teachers and the non-dominated, with the pair; the others are told by shape and colour.
    """
    several = len({point.pair for point in found}) > 1
    pixels = [(x.pixel(point.x), y.pixel(point.y)) for point in found]
    named: dict[tuple[float, float, str], int] = {}
    for i in sorted(range(len(found)), key=lambda i: (not best[i], -found[i].y)):
        if not several or best[i] or found[i].role == "teacher":
            named.setdefault((*pixels[i], found[i].method), i)  # one teacher of two pairs is one point
    order = list(named.values())
    texts = [shown[found[i].method] + (f" · {shorten(found[i].pair)}" if several else "") for i in order]
    frontier = sorted(pixels[i] for i in range(len(found)) if best[i])
    line = [((b.left + b.right) / 2, (b.top + b.bottom) / 2) for ends in pairwise(frontier) for b in along(*ends, 5)]
    area = Box(2, 2, x.length + 70, y.length - 2)
    rows = []
    for label in place_labels([pixels[i] for i in order], texts, area, [*pixels, *line]):
        point = found[order[label.index]]
        row: Spec = {"text": texts[label.index], "align": label.align, "x": point.x, "y": point.y}
        row |= {"text_x": x.value(label.x), "text_y": y.value(label.y)}
        if label.leader:
            row |= {"end_x": x.value(label.leader[0]), "end_y": y.value(label.leader[1])}
        rows.append(row)
    return rows, len(rows) == len(found)
