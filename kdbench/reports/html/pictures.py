"""The charts of a page: for each what can be chosen, a specification for every choice, and the data as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from kdbench.reports.axes import AXES
from kdbench.reports.charts.curves import curves_chart, panels
from kdbench.reports.charts.heatmap import heatmap_chart, mapped_pairs
from kdbench.reports.charts.pareto import COSTS, SCORES, costs_of, default_cost, pareto_chart, points, scores_of
from kdbench.reports.charts.ranks import ranked_pairs, ranks_chart, ranks_of, write_ranks
from kdbench.reports.charts.style import Spec, method_names
from kdbench.reports.model import Curve, PairReport, Report


@dataclass(frozen=True)
class Choice:
    """A select box and its options; the first is chosen at the beginning."""

    title: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class DataTable:
    """The numbers behind a chart."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Picture:
    """A chart with everything around it.

    Attributes:
        specs: by the options' indices, joined by ``-``; what is not there has no data.
        tables: the numbers; nothing where the tables of results are those.
    """

    key: str
    title: str
    text: str
    choices: tuple[Choice, ...]
    specs: dict[str, Spec]
    tables: tuple[DataTable, ...] = ()


def pictures(report: Report) -> list[Picture]:
    """Those that have data."""
    found = [_pareto(report), _ranks(report), _heatmap(report), _security(report), _training(report)]
    return [picture for picture in found if picture]


def _pareto(report: Report) -> Picture | None:
    first = default_cost(report)
    if not first:
        return None
    costs = sorted(costs_of(report), key=lambda cost: cost != first)
    scores = [score for score in SCORES if any(score in scores_of(report, cost) for cost in costs)]
    groups: list[tuple[str, Sequence[PairReport]]] = [(pair.name, (pair,)) for pair in report.pairs]
    if len(groups) > 1:
        groups.insert(len(groups) if first == "minutes" else 0, ("all pairs", report.pairs))
    specs = {
        f"{i}-{j}-{k}": pareto_chart(report, pairs, cost, score)
        for (i, (_, pairs)), (j, cost), (k, score) in product(enumerate(groups), enumerate(costs), enumerate(scores))
        if len(points(pairs, cost, score)) > 1
    }
    return Picture(
        "pareto",
        "Accuracy against cost",
        "Up and to the left is better. A dashed line joins the methods that no other beats on both axes. Differences "
        "as small as the intervals in the tables are no order.",
        (
            Choice("Pair", tuple(name for name, _ in groups)),
            Choice("Across", tuple(COSTS[cost] for cost in costs)),
            Choice("Up", tuple(SCORES[score] for score in scores)),
        ),
        specs,
    )


def _ranks(report: Report) -> Picture | None:
    pairs = ranked_pairs(report)
    if not pairs:
        return None
    return Picture(
        "ranks",
        "Rank intervals",
        "Bars: ranks that the paired comparison does not rule out. Lines: 95 % interval of the rank over bootstrap "
        "replicates. Dots: the order of the scores.",
        (Choice("Pair", tuple(pairs)),),
        {str(i): ranks_chart(report, pair) for i, pair in enumerate(pairs)},
        tuple(_ranks_table(report, pair) for pair in pairs),
    )


def _ranks_table(report: Report, pair: str) -> DataTable:
    rows = tuple(
        (r.method, AXES[r.axis], f"{r.score:.1%}", write_ranks(r.best, r.worst), write_ranks(r.low, r.high))
        for r in ranks_of(report, pair)
    )
    return DataTable(pair, ("method", "axis", "score", "ranks not ruled out", "95 % bootstrap interval"), rows)


def _heatmap(report: Report) -> Picture | None:
    pairs = mapped_pairs(report)
    if not pairs:
        return None
    return Picture(
        "heatmap",
        "Task by task",
        "In-domain scores. Each task has a colour scale of its own, from its lowest to its highest student; bold is "
        "the highest, which need not be separable from others.",
        (Choice("Pair", tuple(pair.name for pair in pairs)),),
        {str(i): heatmap_chart(pair) for i, pair in enumerate(pairs)},
    )


def _security(report: Report) -> Picture | None:
    text = "How much stays right as the attacker may do more, in percent of all attacked examples."
    return _curves("security", "Security curves", text, report.security, method_names(report), percent=True)


def _training(report: Report) -> Picture | None:
    text = (
        "How trainings went: the score on the selection split in the mean over seeds, and the terms of the loss of the "
        "first seed."
    )
    return _curves("training", "Training curves", text, report.training, method_names(report), percent=False)


def _curves(
    key: str, title: str, text: str, curves: Sequence[Curve], names: Sequence[str], *, percent: bool
) -> Picture | None:
    found = panels(curves)
    if not found:
        return None
    return Picture(
        key,
        title,
        text,
        (Choice("Panel", tuple(found)),),
        {str(i): curves_chart(its, names, percent=percent) for i, its in enumerate(found.values())},
        tuple(_curves_table(panel, its, percent=percent) for panel, its in found.items()),
    )


def _curves_table(panel: str, curves: Sequence[Curve], *, percent: bool) -> DataTable:
    """A column for each curve, a row for each x that any of them has."""
    by_x = [dict(zip(curve.x, curve.y, strict=True)) for curve in curves]
    rows = []
    for x in sorted({x for at in by_x for x in at}):
        values = [at.get(x) for at in by_x]
        written = ["" if y is None else f"{100 * y:.1f}" if percent else f"{y:.4g}" for y in values]
        rows.append((f"{x:g}", *written))
    return DataTable(panel, (curves[0].x_title, *(curve.label for curve in curves)), tuple(rows))
