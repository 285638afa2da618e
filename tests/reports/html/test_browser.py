"""The page in a real browser."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdbench.reports.html import to_html
from kdbench.reports.model import Report
from tests.reports.html.reports import CONTROLS, HOSTILE, METHODS, bare_report, full_report

Open = Callable[..., Any]
PHONE = {"width": 375, "height": 800}

CONTRASTS = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest("script, style, noscript, [hidden]")) continue;
    if (element.closest("[data-picture=heatmap] svg")) continue;  // on colours of its own: see the tests of charts
    const style = getComputedStyle(element);
    const ink = light(parse(element.closest("svg") ? style.fill : style.color));
    const paper = light(behind(element));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    found.push([ratio, node.textContent.trim().slice(0, 40)]);
  }
  return found;
}"""


def names(table: Any) -> list[str]:
    """Methods in the order of the rows that are shown."""
    return table.locator("tbody tr[data-role] .name").all_text_contents()


def summary(page: Any, pair: int = 1) -> Any:
    return page.locator(f"section.pair[data-pair='{pair}'] table.results").first


def by_number(report: Report, key: str, *, descending: bool) -> list[str]:
    """Methods of the first pair that have a number."""
    cells = report.pairs[0].summary.column(key)
    known = [name for name in cells if not math.isnan(cells[name].number)]
    return sorted(known, key=lambda name: cells[name].number, reverse=descending)


def test_nothing_is_fetched_and_the_console_is_silent(open_page: Open, complaints: list[str], tmp_path: Path) -> None:
    page = open_page()
    assert page.locator("figure svg").count() == 5
    bare = tmp_path / "bare.html"
    bare.write_text(to_html(bare_report()), encoding="utf-8")
    assert open_page(bare).locator("figure").count() == 0
    assert complaints == []


def test_a_click_sorts_by_number_and_keeps_the_missing_last(open_page: Open, report: Report) -> None:
    table = summary(open_page())
    heading = table.get_by_role("button", name=re.compile("^in-domain: "))
    before = names(table)
    heading.click()
    table.locator("th[aria-sort='descending']").wait_for()
    assert names(table)[:-2] == by_number(report, "in_domain", descending=True) != before[:-2]
    assert set(names(table)[-2:]) == {"combined", "prokd+mate"}
    heading.click()
    table.locator("th[aria-sort='ascending']").wait_for()
    assert names(table)[:-2] == by_number(report, "in_domain", descending=False)
    assert set(names(table)[-2:]) == {"combined", "prokd+mate"}


def test_the_keyboard_sorts(open_page: Open, report: Report) -> None:
    """Minutes: 10.2 is more than 9.1, and less is better, so that the first press sorts upwards."""
    table = summary(open_page())
    heading = table.get_by_role("button", name=re.compile("^train"))
    heading.focus()
    heading.press("Enter")
    table.locator("th[aria-sort='ascending']", has_text="train (min)").wait_for()
    assert names(table) == by_number(report, "minutes", descending=False)


def test_filters_by_name_role_and_pair(open_page: Open) -> None:
    page = open_page()
    form = page.get_by_role("search")
    form.get_by_role("searchbox", name="Method").fill("PROKD")
    assert names(summary(page)) == ["prokd", "prokd+mate"]
    assert form.locator("output").inner_text() == "2 methods shown"
    form.get_by_role("searchbox", name="Method").fill("")
    form.get_by_label("Role").select_option("control")
    assert names(summary(page)) == list(CONTROLS)
    assert names(page.locator("table.results").last) == [name for name in METHODS[:4] if name in CONTROLS]
    form.get_by_label("Role").select_option("teacher")
    assert names(summary(page, 2)) == ["teacher"]
    form.get_by_label("Role").select_option("")
    form.get_by_label("Pair").select_option("large")
    assert not summary(page).is_visible() and summary(page, 2).is_visible()
    assert names(summary(page, 2)) == ["teacher", *METHODS]


def test_a_point_tells_its_numbers(open_page: Open, report: Report) -> None:
    page = open_page()
    page.locator("figure[data-picture=pareto] .mark-symbol.role-mark path").first.hover()
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    teacher = report.pairs[0].summary.column("in_domain")["teacher"].text
    assert teacher in tooltip.inner_text() and "teacher" in tooltip.inner_text()


def test_charts_follow_the_select_boxes(open_page: Open) -> None:
    page = open_page()
    figure = page.locator("figure[data-picture=pareto]")
    figure.get_by_label("Up").select_option("under attack, %")
    figure.get_by_label("Across").select_option("training time, minutes")
    figure.locator(".chart[aria-label^='under attack, % against training time']").wait_for()
    ranks = page.locator("figure[data-picture=ranks]")
    assert "Ranks of the methods of small" in ranks.locator(".chart").get_attribute("aria-label")
    ranks.get_by_label("Pair").select_option("large")
    ranks.locator(".chart[aria-label^='Ranks of the methods of large']").wait_for()


def test_one_curve_can_be_picked(open_page: Open, report: Report) -> None:
    figure = open_page().locator("figure[data-picture=security]")
    assert figure.get_by_label("Highlight").locator("option").all_inner_texts() == ["all", "teacher", *METHODS]
    figure.get_by_label("Highlight").select_option("rco")
    faded = figure.locator(".mark-symbol.role-mark path[opacity='0.12']")
    faded.first.wait_for()
    points = len(report.security[0].x)
    assert faded.count() == points * len(METHODS)


def test_notes_lead_there_and_back(open_page: Open) -> None:
    page = open_page()
    link = page.get_by_role("link", name="note 1", exact=True).first
    anchor = link.get_attribute("id")
    link.click()
    assert page.url.endswith("#note-1")
    page.locator("#note-1").get_by_role("link", name="back to place 1 of note 1").click()
    assert page.url.endswith(f"#{anchor}") and page.locator(f"#{anchor}").is_visible()


def test_details_open_with_the_keyboard_and_in_print(open_page: Open) -> None:
    page = open_page()
    details = page.locator("section.pair details").first
    table = details.locator("table")
    assert not table.is_visible()
    details.locator("summary").press("Enter")
    assert table.is_visible()
    other = page.locator("section.pair details").nth(1).locator("table")
    page.emulate_media(media="print")
    assert other.evaluate("table => table.checkVisibility({contentVisibilityAuto: true})")
    assert not page.get_by_role("search").is_visible()


def test_a_phone_has_no_horizontal_scrolling_but_in_tables(open_page: Open, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.html"
    hostile.write_text(to_html(full_report((*HOSTILE, "kd"))), encoding="utf-8")
    for page in (open_page(viewport=PHONE), open_page(hostile, viewport=PHONE)):
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        box = page.locator(".scroll").first
        assert box.evaluate("box => box.scrollWidth > box.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(open_page: Open, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}[scheme]
    page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    found = page.evaluate(CONTRASTS)
    assert len(found) > 500
    assert [item for item in found if item[0] < 4.5] == []


def test_it_reads_without_javascript(open_page: Open, report: Report) -> None:
    page = open_page(java_script_enabled=False)
    for index, pair in enumerate(report.pairs, start=1):
        rows = summary(page, index).locator("tbody tr").all_inner_texts()
        assert len(rows) == len(pair.summary.lines)
        for row, line in zip(rows, pair.summary.lines, strict=True):
            assert all(cell.text in row for cell in line.cells)
    assert page.locator("section.pair details table").count() == sum(
        len(pair.tasks) + len(pair.attacks) for pair in report.pairs
    )
    assert not page.get_by_role("search").is_visible()
    assert page.locator("noscript p", has_text="Charts need JavaScript").is_visible()


def test_names_are_text_everywhere(open_page: Open, complaints: list[str], tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    path.write_text(to_html(full_report((*HOSTILE, "kd"))), encoding="utf-8")
    page = open_page(path)
    assert names(summary(page)) == ["teacher", *HOSTILE, "kd"]
    assert page.locator("img").count() == 0 and complaints == []
    page.get_by_role("searchbox", name="Method").fill("<img src=x onerror")
    assert names(summary(page)) == [HOSTILE[0]]
    page.locator("figure[data-picture=heatmap] .mark-text.role-mark text", has_text="64.8").hover()
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert HOSTILE[0] in tooltip.inner_text() and page.locator("img").count() == 0 and complaints == []


def test_the_policy_stops_foreign_scripts_and_requests(open_page: Open, page_file: Path, tmp_path: Path) -> None:
    """As if something had slipped through in a name."""
    path = tmp_path / "forged.html"
    text = page_file.read_text(encoding="utf-8")
    path.write_text(text.replace("</main>", "<script>window.forged = 1</script></main>"), encoding="utf-8")
    page = open_page(path)
    assert page.evaluate("typeof window.forged") == "undefined"
    blocked = """() => new Promise((resolve) => {
      addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
      fetch("https://example.org/").catch(() => {});
    })"""
    assert page.evaluate(blocked) == "connect-src"


def test_the_commands_are_copied_or_at_least_selected(open_page: Open, report: Report) -> None:
    commands = "\n".join(report.provenance.commands)
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    button = page.get_by_role("button", name="Copy the commands")
    button.click()
    page.get_by_text("Copied.", exact=True).wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == commands
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed')); }")
    button.click()
    page.get_by_text("Selected: copy with the keyboard.").wait_for()
    assert page.evaluate("getSelection().toString()").strip() == commands


def test_structure_for_assistive_technology(open_page: Open) -> None:
    page = open_page()
    levels = [int(tag[1]) for tag in page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(h => h.tagName)")]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for landmark in ("banner", "navigation", "main", "contentinfo", "search"):
        assert page.get_by_role(landmark).count() == 1
    bare = "tables => tables.filter(t => !t.caption || !t.querySelector('thead th[scope=col]')).length"
    assert page.locator("table").evaluate_all(bare) == 0
    unnamed = "fields => fields.filter(f => !f.labels.length).length"
    assert page.locator("input, select").evaluate_all(unnamed) == 0
    ids = page.locator("[id]").evaluate_all("all => all.map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert page.locator("figure svg[aria-label], figure [aria-label] svg").count() >= 5
    first = page.locator("a.skip")
    page.keyboard.press("Tab")
    assert first.evaluate("link => link === document.activeElement && getComputedStyle(link).outlineStyle !== 'none'")
