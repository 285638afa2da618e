"""Figures for papers: which there are, the same bytes, readable files."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from PIL import Image

from kdbench.reports.figures import figures
from tests.reports.html.reports import HOSTILE, METHODS, bare_report, full_report


@pytest.fixture(scope="module")
def drawn() -> dict[str, str | bytes]:
    return figures(full_report())


def texts(svg: str | bytes) -> set[str]:
    return {"".join(element.itertext()) for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}


def test_all_figures_as_svg_and_png(drawn: dict[str, str | bytes]) -> None:
    assert set(drawn) == {f"{n}.{k}" for n in ("pareto", "ranks", "heatmap", "security") for k in ("svg", "png")}
    for name, content in drawn.items():
        if isinstance(content, bytes):
            image = Image.open(io.BytesIO(content))
            colours = image.convert("L").getextrema()
            assert name.endswith(".png") and image.width > 1000 and colours == (17, 255), "ink on white"


def test_only_those_that_have_data() -> None:
    assert figures(bare_report()) == {}
    assert set(figures(replace(full_report(), security=(), ranks=(), pairs=()))) == set()


def test_the_same_bytes_again(drawn: dict[str, str | bytes]) -> None:
    few = replace(full_report(), security=())
    again = figures(few)
    assert again == {name: content for name, content in drawn.items() if not name.startswith("security")}


def test_methods_and_numbers_are_written_out(drawn: dict[str, str | bytes]) -> None:
    kd = full_report().pairs[0].tasks[0].lines[3].cells[0].number
    assert {*METHODS, "sst2", f"{100 * kd:.1f}", "failed", "small", "large"} < texts(drawn["heatmap.svg"])
    assert {"in-domain, %", "parameters, millions", "teacher · small"} < texts(drawn["pareto.svg"])
    assert {*METHODS[:10], "in-domain", "under attack", "rank (1 is best)"} < texts(drawn["ranks.svg"])
    assert {*METHODS, "large · mrpc · words", "queries allowed"} < texts(drawn["security.svg"])


def test_hostile_names_are_text() -> None:
    report = full_report((*HOSTILE, "kd"))
    drawn = figures(replace(report, security=(), ranks=report.ranks[:12], pairs=report.pairs[:1]))
    shown = texts(drawn["heatmap.svg"])
    assert HOSTILE[0] in shown and HOSTILE[2] in shown
    assert not [element for element in ET.fromstring(drawn["heatmap.svg"]).iter() if element.tag.endswith("script")]
