"""Where methods stand: the ranks that are not ruled out, and what the bootstrap says."""

from __future__ import annotations

from kdbench.reports.axes import AXES
from kdbench.reports.charts.style import COLOURS, Spec, short_names
from kdbench.reports.model import RankInterval, Report


def ranked_pairs(report: Report) -> list[str]:
    """Pairs with ranks, in the order of the report."""
    return list(dict.fromkeys(interval.pair for interval in report.ranks))


def ranks_of(report: Report, pair: str) -> list[RankInterval]:
    """Of one pair, axis by axis, the highest score first."""
    found = [interval for interval in report.ranks if interval.pair == pair]
    return sorted(found, key=lambda interval: (list(AXES).index(interval.axis), -interval.score))


def write_ranks(first: float, last: float) -> str:
    """``3`` or ``2–4``; bounds of a bootstrap interval with up to one digit."""
    first, last = round(first, 1), round(last, 1)
    return f"{first:g}" if first == last else f"{first:g}–{last:g}"


def ranks_chart(report: Report, pair: str, width: int = 200) -> Spec:
    """One panel for each axis, methods in the order of the first.

    Args:
        report: with ranks of this pair.
        pair: its name.
        width: of a panel in pixels.
    """
    found = ranks_of(report, pair)
    shown = short_names(list(dict.fromkeys(interval.method for interval in found)))
    order = list(shown.values())
    places: dict[str, int] = {}
    rows = []
    for interval in found:
        places[interval.axis] = places.get(interval.axis, 0) + 1
        rows.append(
            {
                "axis": AXES[interval.axis],
                "name": interval.method,
                "method": shown[interval.method],
                "place": places[interval.axis],
                "first": interval.best - 0.18,
                "last": interval.worst + 0.18,
                "low": interval.low,
                "high": interval.high,
                "score": f"{interval.score:.1%}",
                "ranks": write_ranks(interval.best, interval.worst),
                "interval": write_ranks(interval.low, interval.high),
            }
        )
    tooltip = [
        {"field": field, "title": title}
        for field, title in (
            ("name", "method"),
            ("score", "score"),
            ("ranks", "ranks not ruled out"),
            ("interval", "95 % bootstrap interval"),
        )
    ]
    y = {"field": "method", "type": "nominal", "sort": order, "title": None}
    scale = {"domain": [0.5, len(order) + 0.5], "nice": False, "zero": False}
    ticks = {"values": list(range(1, len(order) + 1)), "format": "d", "labelOverlap": True}

    def layer(mark: Spec, first: str, last: str) -> Spec:
        across = {"field": first, "type": "quantitative", "title": "rank (1 is best)", "scale": scale, "axis": ticks}
        ends = {"x2": {"field": last}} if last else {}
        return {"mark": mark, "encoding": {"x": across, **ends, "y": y, "tooltip": tooltip}}

    panels = [name for name in AXES.values() if any(row["axis"] == name for row in rows)]
    return {
        "description": f"Ranks of the methods of {pair}: bars span the ranks that are not ruled out, lines the 95 % "
        "bootstrap interval, dots are the order of the scores.",
        "data": {"values": rows},
        "facet": {"column": {"field": "axis", "type": "nominal", "sort": panels}},
        "spec": {
            "width": width,
            "height": {"step": 24},
            "layer": [
                layer({"type": "bar", "height": 13, "color": COLOURS[0], "fillOpacity": 0.35, "cornerRadius": 2},
                      "first", "last"),
                layer({"type": "rule", "strokeWidth": 1.6}, "low", "high"),
                layer({"type": "point", "size": 55}, "place", ""),
            ],
        },
    }  # fmt: skip
