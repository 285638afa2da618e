"""Specifications: what is drawn where, from the numbers of the report alone."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from kdbench.reports.charts.curves import curves_chart, panels
from kdbench.reports.charts.heatmap import heatmap_chart
from kdbench.reports.charts.labels import HEIGHT, Box, place_labels
from kdbench.reports.charts.pareto import default_cost, non_dominated, pareto_chart, points, scores_of
from kdbench.reports.charts.ranks import ranks_chart, write_ranks
from kdbench.reports.charts.style import (
    COLOURS,
    DARK,
    GREY,
    LIGHT,
    PRINT,
    Spec,
    log_ticks,
    method_names,
    method_scales,
    short_names,
)
from tests.reports.html.reports import HOSTILE, METHODS, full_report

REPORT = full_report()
WHITE, NIGHT = "#ffffff", "#14181d"


def contrast(first: str, second: str) -> float:
    """As WCAG 2 defines it."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((light(first), light(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_can_be_seen_on_both_grounds_and_text_read_on_all() -> None:
    assert all(contrast(colour, ground) >= 3 for colour in (*COLOURS, GREY) for ground in (WHITE, NIGHT))
    for theme, ground in ((LIGHT, WHITE), (DARK, NIGHT), (PRINT, WHITE)):
        grounds = (ground, *theme["range"]["heatmap"])
        assert all(contrast(theme["text"]["color"], colour) >= 4.5 for colour in grounds)


def test_no_two_methods_look_the_same_in_black_and_white() -> None:
    scales = method_scales(["teacher", *METHODS])
    assert len(set(scales["shape"]["range"])) == len(METHODS) + 1
    looks = list(zip(scales["color"]["range"], scales["shape"]["range"], strict=True))
    assert len(set(looks)) == len(looks)
    assert scales["color"]["range"][0] == GREY


def test_short_names_stay_different() -> None:
    names = ["a" * 40 + "b" * 20, "a" * 41 + "b" * 20, "kd"]
    short = short_names(names)
    assert len(set(short.values())) == 3 and short["kd"] == "kd"
    assert all(len(name) <= 32 for name in short.values())


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_non_dominated_points(found: list[tuple[int, int]]) -> None:
    """Against the definition: nobody is at least as good on both and better on one."""
    for (x, y), best in zip(found, non_dominated(found), strict=True):
        assert best == (not any((a < x and b >= y) or (a <= x and b > y) for a, b in found))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 300), st.floats(0, 200)), min_size=1, max_size=13, unique=True))
def test_names_cover_neither_each_other_nor_points(found: list[tuple[float, float]]) -> None:
    area = Box(0, 0, 360, 200)
    labels = place_labels(found, ["method"] * len(found), area)
    width = 6 * 6.7
    boxes = []
    for label in labels:
        left = label.x - {"left": 0, "center": width / 2, "right": width}[label.align]
        boxes.append(Box(left, label.y - HEIGHT / 2, left + width, label.y + HEIGHT / 2))
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(box.left < x < box.right and box.top < y < box.bottom for box in boxes for x, y in found)
    assert all(box.within(Box(-1e-6, -1e-6, 360 + 1e-6, 200 + 1e-6)) for box in boxes)


def test_names_of_a_column_of_points_all_find_a_place() -> None:
    column = [(50.0, 20.0 + 9 * i) for i in range(13)]
    assert len(place_labels(column, ["method"] * 13, Box(0, 0, 400, 300))) == 13


def test_pareto_has_a_point_for_each_method_with_both_numbers() -> None:
    spec = pareto_chart(REPORT, REPORT.pairs, "parameters", "in_domain")
    rows = spec["data"]["values"]
    assert len(rows) == 2 * (len(METHODS) + 1) - 2, "two methods of the first pair have no score"
    kd = next(row for row in rows if (row["pair"], row["name"]) == ("small", "kd"))
    cells = REPORT.pairs[0].summary
    assert kd["x"] == 11.2 and kd["y"] == round(100 * cells.column("in_domain")["kd"].number, 4)
    assert kd["score"] == cells.column("in_domain")["kd"].text
    best = {(row["x"], row["y"]) for row in rows if row["best"]}
    assert (min(row["x"] for row in rows), max(row["y"] for row in rows if row["x"] == 11.2)) in best


def test_pareto_by_size_only_where_sizes_differ() -> None:
    assert default_cost(REPORT) == "parameters"
    assert default_cost(replace(REPORT, pairs=REPORT.pairs[:1])) == "minutes"
    assert scores_of(REPORT, "minutes") == ["in_domain", "ood", "attack"]
    assert points(REPORT.pairs, "minutes", "nothing") == []


def test_ranks_span_what_is_not_ruled_out() -> None:
    spec = ranks_chart(REPORT, "small")
    rows = [row for row in spec["data"]["values"] if row["axis"] == "in-domain"]
    assert [row["place"] for row in rows] == list(range(1, len(rows) + 1))
    its = next(r for r in REPORT.ranks if (r.pair, r.axis, r.method) == ("small", "in_domain", rows[2]["name"]))
    assert rows[2]["ranks"] == f"{its.best}–{its.worst}" and rows[2]["low"] == its.low
    assert [write_ranks(2, 2), write_ranks(2, 4), write_ranks(1.0, 3.52)] == ["2", "2–4", "1–3.5"]


def test_heatmap_scales_each_task_by_its_students() -> None:
    spec = heatmap_chart(REPORT.pairs[0])
    teacher, students = (part["data"]["values"] for part in spec["vconcat"])
    assert all(row["share"] is None for row in teacher) and len(teacher) == 5
    for task in ("sst2", "stsb"):
        column = [row for row in students if row["task"] == task]
        shares = [row["share"] for row in column if row["share"] is not None]
        assert (min(shares), max(shares)) == (0, 1) and len(shares) == len(METHODS) - 2
        assert [row["share"] for row in column if row["best"]] == [1]
    texts = {row["name"]: row["text"] for row in students if row["task"] == "sst2"}
    assert texts["prokd+mate"] == "failed" and texts["combined"] == "missing" and texts["kd"].count(".") == 1


def test_curves_are_logarithmic_where_budgets_are() -> None:
    found = panels(REPORT.security)
    assert list(found) == [
        "small · sst2 · words",
        "small · mrpc · words",
        "large · sst2 · words",
        "large · mrpc · words",
    ]
    spec = curves_chart(found["small · sst2 · words"], method_names(REPORT), percent=True)
    assert spec["encoding"]["x"]["scale"]["type"] == "log"
    assert spec["encoding"]["x"]["axis"]["values"] == [1, 2, 5, 10, 20, 50, 100, 200, 500]
    first = spec["data"]["values"][0]
    curve = found["small · sst2 · words"][0]
    assert first["y"] == round(100 * curve.y[0], 4) and first["value"].endswith(
        f"[{100 * curve.low[0]:.1f}, {100 * curve.high[0]:.1f}]"
    )
    training = curves_chart(next(iter(panels(REPORT.training).values())), method_names(REPORT))
    assert "type" not in training["encoding"]["x"]["scale"] and "[" not in training["data"]["values"][0]["value"]


def test_log_ticks() -> None:
    assert log_ticks(0.9, 60) == [1, 2, 5, 10, 20, 50]


def test_names_are_never_field_names_or_expressions() -> None:
    """A name with quotes, brackets or braces would break a chart that used it so."""
    report = full_report((*HOSTILE, "kd"))
    spec = pareto_chart(report, report.pairs, "parameters", "in_domain")

    def fields(part: Spec | list | str) -> set[str]:
        if isinstance(part, dict):
            own = {part["field"]} if isinstance(part.get("field"), str) else set()
            return own.union(*(fields(item) for key, item in part.items() if key != "values"))
        return set().union(*map(fields, part)) if isinstance(part, list) else set()

    assert fields(spec) <= {
        "x",
        "y",
        "end_x",
        "end_y",
        "text_x",
        "text_y",
        "text",
        "method",
        "name",
        "pair",
        "score",
        "cost",
    }
