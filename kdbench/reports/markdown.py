"""The report as Markdown."""

from __future__ import annotations

from kdbench.reports.entries import write_bounds
from kdbench.reports.model import Cell, Heading, Line, Report, Table


def to_markdown(report: Report) -> str:
    """The whole report: summary per pair, one table per task, what is missing, where numbers come from."""
    lines = [f"# {report.title}", ""]
    if report.description:
        lines += [report.description, ""]
    lines += [" ".join(report.guide), ""]
    if report.study:
        lines += ["**What the study found: [study.md](study.md)**, with [its numbers](study.csv) and "
                  "its figure ([SVG](study.svg), [PNG](study.png)).", ""]  # fmt: skip
    for pair in report.pairs:
        lines += [f"## {escape(pair.name)}", "", *to_rows(pair.summary), ""]
        for table in filter(None, (pair.differences, *pair.tasks, *pair.attacks)):
            lines += [f"### {escape(table.title)}", "", *to_rows(table), ""]
            lines += [table.caption, ""] if table.caption else []
    if report.across:
        lines += [f"## {report.across.title}", "", *to_rows(report.across), "", report.across.caption, ""]
    lines += _notes(report)
    return "\n".join(lines).rstrip() + "\n"


def to_rows(table: Table) -> list[str]:
    """The lines of a table."""
    lines = ["| method | " + " | ".join(escape(heading.title) for heading in table.headings) + " |"]
    lines.append("|---|" + "---:|" * len(table.headings))
    lines += [f"| {_name(line)} | " + " | ".join(_cells(table, line)) + " |" for line in table.lines]
    return lines


def _name(line: Line) -> str:
    return escape(line.name) + _numbers(line.notes)


def _cells(table: Table, line: Line) -> list[str]:
    return [write_cell(cell, heading) for heading, cell in zip(table.headings, line.cells, strict=True)]


def write_cell(cell: Cell, heading: Heading) -> str:
    """Number, interval, mark and footnotes."""
    text = escape(f"{cell.text} {write_bounds(cell.low, cell.high, heading.form)}".strip())
    if cell.mark == "best":
        text = f"**{text}**"
    elif cell.mark == "tied":
        text += " ≈"
    return text + _numbers(cell.notes)


def _numbers(notes: tuple[int, ...]) -> str:
    return f" <sup>{', '.join(map(str, notes))}</sup>" if notes else ""


def _notes(report: Report) -> list[str]:
    lines: list[str] = []
    if report.footnotes:
        lines += ["## Notes", "", *(f"{i}. {escape(text)}" for i, text in enumerate(report.footnotes, start=1)), ""]
    for title, texts in (("Not ranked", report.unranked), ("Failed", report.failed), ("Not measured", report.skipped)):
        if texts:
            lines += [f"## {title}", "", *(f"- {escape(text)}" for text in texts), ""]
    lines += _published(report)
    lines += ["## Methods", ""]
    for method in report.methods:
        settings = dict(method.settings)
        plain = f": {settings['']}" if "" in settings else ""
        lines.append(f"- **{escape(method.name)}** ({escape(method.cite)}){plain}")
        lines += [f"  - {kind}: {values}" for kind, values in settings.items() if kind]
    return [*lines, "", *_provenance(report)]


def _published(report: Report) -> list[str]:
    if not report.published:
        return []
    lines = ["## Published elsewhere, not measured here", ""]
    for table in report.published:
        lines += [f"**{escape(table.title)}** ({escape(table.source)}). {escape(table.note)}", ""]
        for name, numbers in table.rows:
            lines.append(f"- {escape(name)}: " + ", ".join(f"{method} {number:g}" for method, number in numbers))
        lines.append("")
    return lines


def _provenance(report: Report) -> list[str]:
    found = report.provenance
    lines = ["## Where the numbers come from", ""]
    lines.append(f"- suite {found.suite} {found.suite_version}, budget {found.budget}, version {found.version}")
    lines += [f"- machine: {machine}" for machine in found.machines]
    lines += [f"- software: {version}" for version in found.software]
    lines.append(f"- {found.cells} cells; largest worker {found.peak_memory_mb:.0f} MB")
    lines += [f"- data, {escape(use)}: {escape(source)}, `{_short(mark)}`" for use, source, mark in found.data]
    lines += [f"- attack, {escape(name)}: {escape(version)}" for name, version in found.attacks]
    return [*lines, "", "```", *found.commands, "```"]


def _short(fingerprint: str) -> str:
    """The first dozen digits of a hash; anything else as it is."""
    return fingerprint[:19] if fingerprint.startswith("sha256:") else fingerprint


def escape(text: str) -> str:
    """Keep names from ending a table cell or becoming markup."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
