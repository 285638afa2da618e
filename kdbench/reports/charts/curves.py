"""Accuracy under attack over budgets, and how trainings went."""

from __future__ import annotations

from collections.abc import Sequence

from kdbench.reports.charts.style import Spec, log_ticks, method_scales
from kdbench.reports.model import Curve

_LOG_FROM = 20


def panels(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """Curves by what they share a picture with, in order."""
    found: dict[str, list[Curve]] = {}
    for curve in curves:
        found.setdefault(curve.panel, []).append(curve)
    return found


def curves_chart(
    curves: Sequence[Curve],
    names: Sequence[str],
    size: tuple[int, int] = (560, 340),
    *,
    percent: bool = False,
    fade: bool = True,
) -> Spec:
    """The lines of one panel.

    Args:
        curves: with points at ``x``; their titles are those of the axes.
        names: every method of the report: fixes which has which colour, shape and dash.
        size: width and height in pixels.
        percent: whether ``y`` are fractions.
        fade: whether one method can be picked under the chart, so that the others fade.
    """
    scales = _scales(curves, list(dict.fromkeys((*names, *(curve.label for curve in curves)))))
    x_title, y_title = curves[0].x_title, curves[0].y_title + (", %" if percent else "")
    titles = {"name": "method", "value": y_title, "x": x_title}
    tooltip = [{"field": field, "title": title} for field, title in titles.items()]

    def by(channel: str) -> Spec:
        return {"field": "label", "type": "nominal", "scale": scales[channel], "legend": {"orient": "right"}}

    chart: Spec = {
        "description": f"{curves[0].panel}: {y_title} over {x_title}, one line for each method.",
        "width": size[0],
        "height": size[1],
        "data": {"values": _rows(curves, scales, 100 if percent else 1)},
        "encoding": {
            "x": _across(curves),
            "y": {"field": "y", "type": "quantitative", "title": y_title, "scale": {"zero": percent}},
            "color": by("color"),
        },
        "layer": [
            # the dash is in the data: with a scale it would also be that of the symbols in the legend
            {"mark": "line", "encoding": {"strokeDash": {"field": "dash", "scale": None}}},
            {"mark": {"type": "point", "size": 45}, "encoding": {"shape": by("shape"), "tooltip": tooltip}},
        ],
    }
    if fade:
        here = scales["color"]["domain"]
        box = {"input": "select", "name": "Highlight ", "options": [None, *here], "labels": ["all", *here]}
        chart["params"] = [{"name": "picked", "value": None, "bind": box}]
        whole = {"test": "picked == null || datum.label == picked", "value": 1}
        chart["encoding"]["opacity"] = {"condition": whole, "value": 0.12}
    return chart


def _rows(curves: Sequence[Curve], scales: dict[str, Spec], factor: int) -> list[Spec]:
    """A row for each point; percentages where ``factor`` is 100."""
    labels = dict(zip((curve.label for curve in curves), scales["color"]["domain"], strict=True))
    dashes = dict(zip(labels, scales["strokeDash"]["range"], strict=True))
    rows: list[Spec] = []
    for curve in curves:
        same: Spec = {"name": curve.label, "label": labels[curve.label], "dash": dashes[curve.label]}
        low, high = curve.low or curve.y, curve.high or curve.y
        for x, y, start, end in zip(curve.x, curve.y, low, high, strict=True):
            value = f"{y * factor:.1f}" if factor == 100 else f"{y:.4g}"
            if curve.low:
                value += f" [{start * factor:.1f}, {end * factor:.1f}]"
            rows.append({**same, "x": x, "y": round(y * factor, 4), "value": value})
    return rows


def _scales(curves: Sequence[Curve], names: Sequence[str]) -> dict[str, Spec]:
    """Those of all methods, cut down to the curves of a panel and in their order, for its legend."""
    at = [names.index(curve.label) for curve in curves]
    return {
        channel: {side: [values[i] for i in at] for side, values in scale.items()}
        for channel, scale in method_scales(names).items()
    }


def _across(curves: Sequence[Curve]) -> Spec:
    """The horizontal axis; logarithmic where budgets grow by factors."""
    x = [value for curve in curves for value in curve.x]
    low, high = min(x), max(x)
    axis: Spec = {"field": "x", "type": "quantitative", "title": curves[0].x_title}
    if 0 < low <= 2 and high / low >= _LOG_FROM:
        return axis | {"scale": {"type": "log", "nice": False}, "axis": {"values": log_ticks(low, high)}}
    return axis | {"scale": {"nice": False}, "axis": {"tickCount": 6}}
