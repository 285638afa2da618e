"""Figures: the same bytes every time, nothing hidden or left out, names that do not overlap."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdbench.reports.plots import Panel, Point, Series, Slot, render, spread

PANEL = Panel(
    title="p: $t$ <&>",
    x_label="epoch",
    teacher=Series("teacher", (Point(1, 0.7), Point(2, 0.9))),
    students=(Series("checkpoint-kd", (Point(1, 0.6, 0.5, 0.7), Point(2, float("nan")), Point(3, 0.65))),),
    slots=(Slot("prokd", Point(0, 0.64, 0.6, 0.7)), Slot("rco (none)", Point(0, float("nan")))),
    levels=(("oracle", 0.65), ("honest search", 0.64)),
)
GAP = Panel(
    title="sizes",
    x_label="parameters",
    teacher=Series("teacher", ()),
    students=tuple(Series(f"m{i}", (Point(1e5, 0.5), Point(1e6, 0.5 + i / 100))) for i in range(9)),
    levels=(("finetune", 0.52),),
    ticks=((1e5, "100 k"), (1e6, "1 M")),
    log_x=True,
)


def test_same_bytes_in_another_process() -> None:
    """Also under the user's own settings and another hash seed."""
    program = (
        "import hashlib, json, sys\n"
        "import kdbench.reports.studies.render\n"
        "assert 'matplotlib' not in sys.modules, 'it is imported to draw, not before'\n"
        "import matplotlib; matplotlib.rcParams['font.size'] = 20\n"
        "from kdbench.reports.plots import render\n"
        "from tests.reports.test_plots import GAP, PANEL\n"
        "print(json.dumps({k: hashlib.sha256(v).hexdigest() for k, v in render([PANEL, GAP]).items()}))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True)
        for seed in ("1", "2")
    ]
    first, second = (json.loads(run.stdout) for run in runs)
    assert first == second and set(first) == {"svg", "png"}


def test_files_are_what_they_are_called_and_name_no_date() -> None:
    files = render([PANEL])
    assert files["png"].startswith(b"\x89PNG")
    width, height = struct.unpack(">II", files["png"][16:24])
    assert width > 1000 and height > 700
    text = files["svg"].decode()
    assert text.lstrip().startswith("<?xml") and "<dc:date>" not in text
    assert b"Software" not in files["png"]


def test_every_name_is_drawn_as_it_is_written() -> None:
    """matplotlib leaves the text of glyphs as comments."""
    texts = set(re.findall(r"<!-- (.+?) -->", render([PANEL, GAP])["svg"].decode()))
    wanted = {"epoch", "teacher", "student", "prokd", "rco (none)", "oracle", "honest search", "finetune", "1 M"}
    wanted |= {f"m{i}" for i in range(9)}
    assert wanted <= texts
    assert any("$t$" in text for text in texts), "no formula is made of a name"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_any_number_of_panels(count: int) -> None:
    assert len(render([PANEL] * count)["svg"]) > 500


@given(st.lists(st.floats(0, 10), min_size=1, max_size=9))
def test_names_are_moved_apart_and_stay_in_order(values: list[float]) -> None:
    """Never nearer than the gap, within the axis, and left alone where there is room."""
    values = sorted(values)
    places = spread(values, gap=1.0, low=0.0, high=10.0)
    assert all(b - a >= 1 - 1e-9 for a, b in pairwise(places))
    assert places[0] >= -1e-9 and places[-1] <= 10 + 1e-9
    if all(b - a >= 1 for a, b in pairwise(values)):
        assert places == pytest.approx(values)
