"""A report as one HTML page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import jinja2
from markupsafe import Markup

from kdbench.reports.charts.style import DARK, LIGHT
from kdbench.reports.html.assets import content_security_policy, inline, own, plot_script, table_script
from kdbench.reports.html.pictures import Picture, pictures
from kdbench.reports.html.tables import References, TableView, view_table
from kdbench.reports.model import AdversarialExample, PairReport, Report, Table


@dataclass(frozen=True)
class PairView:
    """The tables of a pair; those of its tasks and of attacks on them with titles."""

    name: str
    student: str
    summary: TableView
    differences: TableView | None
    tasks: tuple[tuple[str, TableView], ...]


def to_html(report: Report) -> str:
    """The whole report as one file that works from disk: scripts, styles and data are inside, nothing is fetched.

    The same report gives the same bytes. Without JavaScript all tables are there, but no sorting, filters or charts.

    Raises:
        ReportError: a library that is written into the page is not the expected one.
    """
    references = References()
    pairs = [_view_pair(pair, references) for pair in report.pairs]
    across = view_table(report.across, references) if report.across else None
    charts = pictures(report)
    libraries = [table_script(), *([plot_script()] if charts else [])]
    scripts = [inline(script) for script in (*libraries, own("page.js"))]
    return _template().render(
        report=report,
        pairs=pairs,
        across=across,
        pictures=charts,
        chart_data={picture.key: _json(picture.specs) for picture in charts},
        themes=_json({"light": LIGHT, "dark": DARK}),
        footnotes=[(i, text, references.back(i)) for i, text in enumerate(report.footnotes, start=1)],
        examples=_examples(report),
        gaps=_gaps(report),
        contents=_contents(report, charts),
        style=Markup(own("style.css")),  # noqa: S704 - ours
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - ours and the libraries'
        policy=content_security_policy(scripts),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kdbench.reports.html", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.j2")


def _view_pair(pair: PairReport, references: References) -> PairView:
    return PairView(
        pair.name,
        pair.student,
        view_table(pair.summary, references, f"Methods of {pair.name}"),
        view_table(pair.differences, references) if pair.differences and pair.differences.lines else None,
        tuple((title, view_table(table, references)) for title, table in _by_task(pair)),
    )


def _by_task(pair: PairReport) -> list[tuple[str, Table]]:
    """(title, table) of each task, and after it of the attacks on it."""
    found = []
    for task in pair.tasks:
        attacks = [table for table in pair.attacks if table.key.startswith(f"{task.key}/")]
        found.append((task.key, task))
        found += [(f"{task.key} under {table.key.removeprefix(f'{task.key}/')}", table) for table in attacks]
    return found


def _examples(report: Report) -> list[tuple[str, list[AdversarialExample]]]:
    """(title, examples) of each task and attack."""
    groups: dict[str, list[AdversarialExample]] = {}
    for example in report.examples:
        groups.setdefault(f"{example.task} under {example.attack}", []).append(example)
    return list(groups.items())


def _json(value: object) -> Markup:
    """JSON that may stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


def _gaps(report: Report) -> list[tuple[str, tuple[str, ...]]]:
    """What is not in the tables, and why."""
    groups = (("Not ranked", report.unranked), ("Failed", report.failed), ("Not measured", report.skipped))
    return [(title, texts) for title, texts in groups if texts]


def _contents(report: Report, charts: Sequence[Picture]) -> list[tuple[str, str]]:
    """(anchor, title) of the sections that are there."""
    sections = [
        ("guide", "How to read it", bool(report.guide)),
        ("results", "Results", True),
        ("across", "Over tasks and pairs", report.across is not None),
        ("pictures", "Charts", bool(charts)),
        ("examples", "Texts that attacks changed", bool(report.examples)),
        ("notes", "Notes", bool(report.footnotes)),
        ("gaps", "Left out", bool(_gaps(report))),
        ("published", "Published elsewhere", bool(report.published)),
        ("methods", "Methods", bool(report.methods)),
        ("provenance", "Where the numbers come from", True),
    ]
    return [(anchor, title) for anchor, title, there in sections if there]
