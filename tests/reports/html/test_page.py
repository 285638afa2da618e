"""What the page says, without a browser: same bytes, sections, order of numbers, notes, no way out of the file."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from kdbench.reports.html import to_html
from kdbench.reports.html.assets import inline, plot_script, table_script
from kdbench.reports.model import Report
from tests.reports.html.reports import HOSTILE, bare_report, full_report


class Outline(HTMLParser):
    """Elements with their attributes, texts of headings, and texts outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br", "input"):
            self._open.append(tag)
        if tag in ("h2", "h3"):
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.text += data
        if self._open and self._open[-1] in ("h2", "h3"):
            self.headings[-1] += data

    def attributes(self, name: str) -> list[str]:
        """Values of an attribute, in order."""
        return [str(found[name]) for _, found in self.elements if name in found]


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return to_html(report)


def test_the_same_report_gives_the_same_bytes(page: str) -> None:
    assert to_html(full_report()) == page
    assert to_html(replace(full_report(), title="another")) != page


def test_nothing_outside_the_file_is_named_by_an_element(page: str) -> None:
    outline = Outline(page)
    assert outline.attributes("src") == []
    assert {link for link in outline.attributes("href") if not link.startswith("#")} == {"data:,"}
    assert [link[1:] for link in outline.attributes("href") if link.startswith("#")]
    assert {link[1:] for link in outline.attributes("href") if link.startswith("#")} <= set(outline.attributes("id"))


def test_the_policy_knows_the_scripts_by_their_digests(page: str) -> None:
    scripts = re.findall(r'<script type="module">(.*?)</script>', page, flags=re.DOTALL)
    assert len(scripts) == 3 and scripts[0] == inline(table_script()) and scripts[1] == inline(plot_script())
    policy = next(str(found["content"]) for _, found in Outline(page).elements if "http-equiv" in found)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert {"connect-src", "font-src", "frame-src"}.isdisjoint(rules) and rules["img-src"] == "data:"


def test_a_script_cannot_end_its_element() -> None:
    assert inline("a = '</script><!-- <script>';") == r"a = '<\/script><\!-- <script>';"


def test_every_section_is_there_and_none_without_content(page: str) -> None:
    headings = Outline(page).headings
    wanted = {
        *("Over tasks and pairs", "Charts", "Accuracy against cost", "Rank intervals", "Task by task"),
        *("Security curves", "Training curves", "Texts that attacks changed", "Attacks", "Notes", "Not ranked"),
        *("Failed", "Not measured", "Published elsewhere"),
    }
    assert wanted < set(headings)
    bare = Outline(to_html(bare_report()))
    assert not wanted & set(bare.headings)
    assert {"Results", "Methods", "Where the numbers come from"} < set(bare.headings)
    anchors = [link for link in bare.attributes("href") if link.startswith("#")]
    assert "#pictures" not in anchors and "#results" in anchors


def test_cells_carry_what_they_are_sorted_by(report: Report, page: str) -> None:
    line = next(line for line in report.pairs[0].summary.lines if line.name == "takd")
    row = re.search(r'data-order="takd".*?</tr>', page, flags=re.DOTALL)
    assert row is not None
    assert re.findall(r'data-order="([^"]*)"', row[0])[1:] == [repr(float(cell.number)) for cell in line.cells]
    failed = re.search(r'data-order="prokd\+mate".*?</tr>', page, flags=re.DOTALL)
    assert failed is not None and '<td class="number failed" data-order="">failed (1/3)' in failed[0]


def test_marks_and_intervals_are_words(page: str) -> None:
    assert re.search(r'<strong>79\.3 ± 0\.4</strong> <span class="mark">best</span>', page)
    assert re.search(r'79\.2 ± 0\.4 <span class="mark">≈ best</span>', page)
    one_seed = to_html(full_report(seeds=1))
    assert re.search(r'86\.0<span class="bounds">\[83\.0, 89\.0\]</span>', one_seed)


def test_every_note_is_linked_both_ways(page: str) -> None:
    outline = Outline(page)
    links = [found for tag, found in outline.elements if tag == "a"]
    to = [str(found["id"]) for found in links if str(found["href"]) == "#note-1" and "id" in found]
    back = [str(found["href"])[1:] for found in links if str(found.get("aria-label")).endswith("of note 1")]
    assert to == back and len(to) == 2


def test_published_numbers_stand_apart(page: str) -> None:
    text = Outline(page).text
    at = text.index("From papers, not measured here.")
    assert "77.65" in text[at:] and "77.65" not in text[:at]


def test_hostile_names_are_text_in_tables_and_in_data() -> None:
    """The parser that checks nesting fails on any name that became an element."""
    page = to_html(full_report((*HOSTILE, "kd")))
    outline = Outline(page)
    assert all(name in outline.text for name in HOSTILE)
    assert "img" not in {tag for tag, _ in outline.elements}
    specs = re.search(r'data-picture="ranks">.*?<script type="application/json">(.*?)</script>', page, flags=re.DOTALL)
    assert specs is not None
    drawn = {row["name"] for spec in json.loads(specs[1]).values() for row in spec["data"]["values"]}
    assert drawn == {*HOSTILE, "kd"}


def test_a_study_is_linked() -> None:
    page = to_html(replace(bare_report(), study="capacity-gap"))
    assert {"study.md", "study.csv", "study.svg"} <= set(Outline(page).attributes("href"))
