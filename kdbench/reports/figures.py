"""Pictures for papers: SVG and PNG of fixed size, the same bytes every time, readable in black and white."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from kdbench.reports.charts.curves import curves_chart, panels
from kdbench.reports.charts.heatmap import heatmap_chart, mapped_pairs
from kdbench.reports.charts.pareto import default_cost, pareto_chart, scores_of
from kdbench.reports.charts.ranks import ranked_pairs, ranks_chart
from kdbench.reports.charts.style import PRINT, Spec, method_names, shorten
from kdbench.reports.model import Report

VEGA_LITE = "6.4"
"""The version that specifications are written for; the renderer brings it."""

_PIXELS_PER_INCH = 192
_LONGEST_TITLE = 48
_MOST_IN_PAIRS = 4


def figures(report: Report) -> dict[str, str | bytes]:
    """File name -> content, of ``pareto``, ``ranks``, ``heatmap`` and ``security`` those that have data."""
    makers: dict[str, Callable[[Report], Spec | None]] = {
        "pareto": _pareto, "ranks": _ranks, "heatmap": _heatmap, "security": _security
    }  # fmt: skip
    files: dict[str, str | bytes] = {}
    for name, maker in makers.items():
        spec = maker(report)
        if spec:
            files[f"{name}.svg"] = render_svg(spec)
            files[f"{name}.png"] = render_png(spec)
    return files


def render_svg(spec: Spec) -> str:
    """A specification as SVG, with the look of print."""
    import vl_convert

    _register_fonts()
    return str(vl_convert.vegalite_to_svg(_printed(spec), vl_version=VEGA_LITE))


def render_png(spec: Spec) -> bytes:
    """A specification as PNG, at twice the resolution of a screen."""
    import vl_convert
    from PIL import Image

    _register_fonts()
    drawn = vl_convert.vegalite_to_png(_printed(spec), vl_version=VEGA_LITE, ppi=_PIXELS_PER_INCH, scale=1)
    packed = io.BytesIO()
    Image.open(io.BytesIO(drawn)).convert("RGB").save(packed, format="png", optimize=True)  # a fifth of its size
    return packed.getvalue()


def _printed(spec: Spec) -> Spec:
    return {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "config": PRINT, "padding": 8, **spec}


@cache
def _register_fonts() -> None:
    """DejaVu Sans from matplotlib, and nothing else that is there: the same letters on every machine."""
    import matplotlib as mpl
    import vl_convert

    source = Path(mpl.get_data_path()) / "fonts" / "ttf"
    with tempfile.TemporaryDirectory() as folder:
        for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"):
            shutil.copy(source / name, folder)
        vl_convert.register_font_directory(folder)
        vl_convert.vegalite_to_svg(_printed({"mark": "point"}), vl_version=VEGA_LITE)  # reads them before they go


def _pareto(report: Report) -> Spec | None:
    """Scores side by side, pairs together where size tells them apart, else one below the other."""
    cost = default_cost(report)
    scores = scores_of(report, cost) if cost else []
    if not scores:
        return None
    together = [report.pairs] if cost != "minutes" else [(pair,) for pair in report.pairs]
    rows = {
        " · ".join(pair.name for pair in pairs): {
            "hconcat": [pareto_chart(report, pairs, cost, score, (260, 240)) for score in scores],
            "spacing": 30,
        }
        for pairs in together
    }
    return _stacked(rows)


def _ranks(report: Report) -> Spec | None:
    pairs = ranked_pairs(report)
    return _stacked({pair: ranks_chart(report, pair) for pair in pairs})


def _heatmap(report: Report) -> Spec | None:
    return _stacked({pair.name: heatmap_chart(pair) for pair in mapped_pairs(report)})


def _stacked(charts: dict[str, Spec]) -> Spec | None:
    """One below the other, with the name of the pair where there are several."""
    if len(charts) < 2:
        return next(iter(charts.values()), None)
    named = [{"title": shorten(pair, _LONGEST_TITLE), **chart} for pair, chart in charts.items()]
    return {"vconcat": named, "spacing": 24}


def _security(report: Report) -> Spec | None:
    """Small panels, up to three in a row, with one legend."""
    found = panels(report.security)
    if not found:
        return None
    names = method_names(report)
    prefix = f"{report.pairs[0].name} · " if len(report.pairs) == 1 else ""
    charts = [
        {
            "title": shorten(panel.removeprefix(prefix), _LONGEST_TITLE),
            **curves_chart(curves, names, (250, 180), percent=True, fade=False),
        }
        for panel, curves in found.items()
    ]
    columns = 2 if len(charts) <= _MOST_IN_PAIRS else 3
    shared = dict.fromkeys(("color", "shape", "strokeDash"), "shared")
    return {"concat": charts, "columns": columns, "resolve": {"scale": shared, "legend": shared}}
