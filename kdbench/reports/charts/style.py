"""How charts look: every method has a colour, a shape and a dash of its own, so that none has to carry it alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from kdbench.reports.model import Report
from kdbench.rows import TEACHER

Spec = dict[str, Any]
"""A Vega-Lite specification, or a part of one."""

COLOURS = ("#0072b2", "#d55e00", "#008f68", "#b8609a", "#997000", "#1b87a8", "#8a5a44", "#5f6fd0")
"""After Okabe & Ito, each at a contrast of 3 or more to white paper and to the dark page."""
GREY = "#767676"
SHAPES = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "triangle-down",
    "cross",
    "triangle-right",
    "M-1,-1 L1,-1 L-1,1 L1,1 Z",  # hourglass
    "triangle-left",
    "M-1,-0.5 L-0.5,-1 L0,-0.5 L0.5,-1 L1,-0.5 L0.5,0 L1,0.5 L0.5,1 L0,0.5 L-0.5,1 L-1,0.5 L-0.5,0 Z",  # saltire
    "M-1,-1 L-1,1 L1,-1 L1,1 Z",  # bow tie
    "M0,-1 L0.95,-0.31 L0.59,0.81 L-0.59,0.81 L-0.95,-0.31 Z",  # pentagon
    "M-1,-0.6 L1,-0.6 L1,0.6 L-1,0.6 Z",  # bar
)
STAR = (
    "M0,-1.1 L0.26,-0.36 L1.05,-0.34 L0.42,0.14 L0.65,0.89 L0,0.44 L-0.65,0.89 L-0.42,0.14 L-1.05,-0.34 L-0.26,-0.36 Z"
)
DASHES: tuple[list[int], ...] = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 3], [4, 2, 1, 2, 1, 2])

LONGEST_NAME = 28


def method_names(report: Report) -> list[str]:
    """Every method of every pair, in the order of the tables."""
    return list(dict.fromkeys(line.name for pair in report.pairs for line in pair.summary.lines))


def shorten(text: str, longest: int = LONGEST_NAME) -> str:
    """The beginning and the end of what is too long for a chart; tooltips and tables have all of it."""
    end = longest // 3
    return text if len(text) <= longest else f"{text[: longest - end - 1]}…{text[-end:]}"


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Method -> its name in charts; still one name for each method."""
    found: dict[str, str] = {}
    for name in names:
        short = shorten(name)
        found[name] = short if short not in found.values() else f"{short} ({len(found) + 1})"
    return found


def method_scales(names: Sequence[str]) -> dict[str, Spec]:
    """Scales ``color``, ``shape`` and ``strokeDash`` of short names; the teacher is a grey star with a plain line."""
    students = [name for name in names if name != TEACHER]
    shown = short_names(names)

    def scale(teacher: Any, choices: Sequence[Any]) -> Spec:
        chosen = {name: choices[i % len(choices)] for i, name in enumerate(students)} | {TEACHER: teacher}
        return {"domain": list(shown.values()), "range": [chosen[name] for name in names]}

    return {
        "color": scale(GREY, COLOURS),
        "shape": scale(STAR, SHAPES),
        "strokeDash": scale([1, 0], DASHES),
    }


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, … within bounds."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [tick for power in powers for base in (1, 2, 5) if low <= (tick := base * 10.0**power) <= high]


def theme(*, font: str, ink: str, grid: str, ramp: tuple[str, str], background: str | None = None) -> Spec:
    """A Vega-Lite ``config``: text and lines in ``ink``, heat maps from the first to the second colour of ``ramp``."""
    words = {"labelColor": ink, "titleColor": ink, "labelFontSize": 12, "titleFontSize": 12}
    return {
        "background": background,
        "font": font,
        "view": {"stroke": None},
        "axis": words
        | {
            "gridColor": grid,
            "domainColor": ink,
            "tickColor": ink,
            "titleFontWeight": "normal",
            "titlePadding": 8,
            "labelLimit": 0,
            "labelFlush": False,
            "labelOverlap": True,
        },
        "legend": words | {"title": None, "labelLimit": 0, "symbolSize": 90},
        "header": words | {"title": None, "labelFontWeight": "bold", "labelLimit": 0, "labelPadding": 6},
        "title": {"color": ink, "fontSize": 13, "anchor": "start"},
        "text": {"color": ink, "fontSize": 11.5},
        "rule": {"color": ink},
        "bar": {"stroke": GREY, "strokeWidth": 1},
        "point": {"color": ink, "filled": True, "size": 90, "opacity": 1},
        "line": {"strokeWidth": 1.8},
        "range": {"heatmap": list(ramp), "ramp": list(ramp)},
    }


_SYSTEM = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
LIGHT = theme(font=_SYSTEM, ink="#1c2126", grid="#e2e5e8", ramp=("#f1f6fb", "#86b8e0"))
DARK = theme(font=_SYSTEM, ink="#e6e9ec", grid="#333b43", ramp=("#1d2730", "#2b5f8f"))
PRINT = theme(font="DejaVu Sans, Verdana, sans-serif", ink="#111111", grid="#dddddd",
              ramp=("#f4f8fc", "#86b8e0"), background="#ffffff")  # fmt: skip
