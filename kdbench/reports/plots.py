"""Figures: plain data in, SVG and PNG out, the same bytes every time. Knows nothing about studies.

Methods differ by marker, line style and colour (Okabe & Ito's palette, which colour-blind readers can tell apart),
and are named beside what they name.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "errorbar.capsize": 2.5,
    "text.parse_math": False,  # names may hold dollar signs
    "svg.hashsalt": "kdbench",
    "figure.dpi": 100,
    "savefig.dpi": 200,
}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#333333")
_MARKERS = "osD^vPX<>p"
_LINES = ("-", "--", "-.", (0, (5, 1.5, 1, 1.5, 1, 1.5)), (0, (2, 1.2)))
_GREY = "#666666"
_METADATA: dict[str, dict[str, Any]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}


@dataclass(frozen=True)
class Point:
    """A point with an error bar from ``low`` to ``high``; NaN for no bar, NaN as y for a gap in the line."""

    x: float
    y: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Series:
    """Points that belong together, in order of x."""

    label: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Slot:
    """Something that has no place on the x-axis: it gets one of its own, to the right; ``x`` is not used."""

    label: str
    point: Point


@dataclass(frozen=True)
class Panel:
    """One setting: the teacher above, students below. All y are fractions and are drawn in percent.

    Attributes:
        teacher: drawn by itself, since teachers are better than students and would press them together.
        students: lines.
        slots: single points beside them.
        levels: horizontal lines with names.
        ticks: (x, name) where x is no plain number.
        log_x: whether doubling x is a step.
    """

    title: str
    x_label: str
    teacher: Series
    students: tuple[Series, ...]
    slots: tuple[Slot, ...] = ()
    levels: tuple[tuple[str, float], ...] = ()
    ticks: tuple[tuple[float, str], ...] = ()
    log_x: bool = False


def render(panels: Sequence[Panel]) -> dict[str, bytes]:
    """The figure as ``{"svg": …, "png": …}``; matplotlib is imported here and nowhere else."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()  # whatever the user has set for figures of their own
        mpl.rcParams.update(_STYLE)
        columns = min(2, max(1, len(panels)))
        rows = max(1, math.ceil(len(panels) / columns))
        figure = Figure(figsize=(6.6 * columns, 4.6 * rows), layout="constrained")
        cells = figure.subfigures(rows, columns, squeeze=False, wspace=0.04, hspace=0.04).flat
        styles = _styles(panels)
        for cell, panel in zip(cells, panels, strict=False):
            _draw(cell, panel, styles)
        return {kind: _save(figure, kind) for kind in _METADATA}


def _styles(panels: Iterable[Panel]) -> dict[str, dict[str, Any]]:
    """A method looks the same in every panel."""
    labels = dict.fromkeys(
        label
        for panel in panels
        for label in (*(series.label for series in panel.students), *(slot.label for slot in panel.slots))
    )
    return {
        label: {
            "color": _COLOURS[i % len(_COLOURS)],
            "marker": _MARKERS[i % len(_MARKERS)],
            "linestyle": _LINES[i % len(_LINES)],
        }
        for i, label in enumerate(labels)
    }


def _draw(cell: SubFigure, panel: Panel, styles: dict[str, dict[str, Any]]) -> None:
    wide = [3.4, max(0.7, 0.42 * len(panel.slots))] if panel.slots else [1]
    tall = [1, 2.3] if panel.teacher.points else [2.3]
    axes = cell.subplots(len(tall), len(wide), width_ratios=wide, height_ratios=tall, squeeze=False)
    below = axes[-1, 0]
    for series in _apart(panel):
        _line(below, series, styles[series.label])
    below.set(xlabel=panel.x_label, ylabel="student")
    if panel.teacher.points:
        above = axes[0, 0]
        _line(above, panel.teacher, {"color": _GREY, "marker": "s", "linestyle": "--"})
        above.set(ylabel="teacher", ylim=_limits(panel.teacher.points))
        above.tick_params(labelbottom=False)
    for axis in axes[:, 0]:
        _x_axis(axis, panel)
    if panel.slots:
        _slots(axes[-1, 1], below, panel, styles)
        if len(tall) > 1:
            axes[0, 1].set_visible(False)
    points = [*(p for s in panel.students for p in s.points), *(slot.point for slot in panel.slots)]
    below.set_ylim(_limits([*points, *(Point(0, y) for _, y in panel.levels)]))
    for axis in axes[-1]:
        for _, y in panel.levels:
            axis.axhline(100 * y, color=_GREY, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1)
    _name(axes[-1, -1], panel, styles)
    axes[0, 0].set_title(panel.title)
    cell.align_ylabels(axes[:, 0])


def _apart(panel: Panel) -> list[Series]:
    """Students' lines moved sideways by a hair each, so that their bars do not cover one another."""
    x = [point.x for series in panel.students for point in series.points]
    moved = []
    for index, series in enumerate(panel.students):
        step = 0.012 * (index - (len(panel.students) - 1) / 2)
        factor = (max(x) / min(x)) ** step if x and panel.log_x else 1.0
        shift = 0.0 if not x or panel.log_x else (max(x) - min(x)) * step
        moved.append(Series(series.label, tuple(replace(p, x=p.x * factor + shift) for p in series.points)))
    return moved


def _line(axis: Axes, series: Series, style: dict[str, Any]) -> None:
    x = [point.x for point in series.points]
    y = [100 * point.y for point in series.points]
    axis.errorbar(x, y, yerr=_bars(series.points), elinewidth=1, ecolor=(style["color"], 0.6), **style)


def _bars(points: Sequence[Point]) -> list[list[float]]:
    """Lengths below and above, 0 where there is no bar."""
    ends = [(p.y, p.y) if math.isnan(p.low) else (p.low, p.high) for p in points]
    below = [100 * (p.y - low) for p, (low, _) in zip(points, ends, strict=True)]
    return [below, [100 * (high - p.y) for p, (_, high) in zip(points, ends, strict=True)]]


def _limits(points: Sequence[Point]) -> tuple[float, float]:
    """Everything with its bars, and some air."""
    values = [100 * v for p in points for v in (p.y, p.low, p.high) if not math.isnan(v)] or [0.0, 100.0]
    air = 0.07 * max(max(values) - min(values), 1.0)
    return min(values) - air, max(values) + air


def _x_axis(axis: Axes, panel: Panel) -> None:
    if panel.log_x:
        axis.set_xscale("log", base=2)
        axis.minorticks_off()
    if panel.ticks:
        axis.set_xticks([x for x, _ in panel.ticks], [name for _, name in panel.ticks])
    x = [p.x for s in (panel.teacher, *panel.students) for p in s.points]
    if x and panel.log_x:
        margin = max(1.1, (max(x) / min(x)) ** 0.05)
        axis.set_xlim(min(x) / margin, max(x) * margin)
    elif x:
        margin = 0.05 * (max(x) - min(x)) or 0.5
        axis.set_xlim(min(x) - margin, max(x) + margin)


def _slots(axis: Axes, below: Axes, panel: Panel, styles: dict[str, dict[str, Any]]) -> None:
    axis.sharey(below)
    for index, slot in enumerate(panel.slots):
        _line(
            axis, Series(slot.label, (Point(index, slot.point.y, slot.point.low, slot.point.high),)), styles[slot.label]
        )
    names = [slot.label for slot in panel.slots]
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_xlim(-0.6, len(names) - 0.4)
    axis.tick_params(labelleft=False, left=False)
    axis.spines["left"].set_visible(False)
    axis.grid(visible=False, axis="x")


def _name(axis: Axes, panel: Panel, styles: dict[str, dict[str, Any]]) -> None:
    """Names at the right edge, each at its height, moved apart where they would overlap."""
    edge = axis.get_xlim()[1]
    wanted = [(100 * y, label, _GREY, edge) for label, y in panel.levels]
    if not panel.slots:
        for series in _apart(panel):
            ends = [point for point in series.points if not math.isnan(point.y)][-1:]
            wanted += [(100 * end.y, series.label, styles[series.label]["color"], end.x) for end in ends]
    low, high = axis.get_ylim()
    wanted.sort()
    places = spread([name[0] for name in wanted], gap=(high - low) * 0.062, low=low, high=high)
    for (y, label, colour, x), place in zip(wanted, places, strict=True):
        axis.annotate(
            label,
            xy=(x, y),
            xytext=(1.04, place),
            textcoords=("axes fraction", "data"),
            va="center",
            color=colour,
            fontsize=8.5,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0},
        )


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending values moved as little as need be to lie ``gap`` apart, within [low, high] if there is room.

    Neighbours that are too close become one block, centred on the mean of what its members want.
    """
    blocks: list[list[float]] = []
    for value in values:
        blocks.append([value])
        while len(blocks) > 1 and _start(blocks[-1], gap, low, high) - _end(blocks[-2], gap, low, high) < gap - 1e-12:
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    return [_start(block, gap, low, high) + i * gap for block in blocks for i in range(len(block))]


def _start(block: Sequence[float], gap: float, low: float, high: float) -> float:
    length = gap * (len(block) - 1)
    return max(low, min(high - length, sum(block) / len(block) - length / 2))


def _end(block: Sequence[float], gap: float, low: float, high: float) -> float:
    return _start(block, gap, low, high) + gap * (len(block) - 1)


def _save(figure: Figure, kind: str) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, metadata=_METADATA[kind])
    return stream.getvalue()
