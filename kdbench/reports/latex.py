"""The report's tables as LaTeX, in the style of booktabs, to be pulled into a paper."""

from __future__ import annotations

from kdbench.reports.entries import write_bounds
from kdbench.reports.model import Cell, Heading, Report, Table

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "–": "--", "≈": r"$\approx$", "→": r"$\rightarrow$", "×": r"$\times$", "·": r"$\cdot$",
    "ε": r"$\epsilon$",
}  # fmt: skip


def to_latex(report: Report) -> str:
    """Summary, differences and the table over all tasks; for a preamble with booktabs, threeparttable and graphicx."""
    found = report.provenance
    lines = [
        "% Made by kdbench report. Needs \\usepackage{booktabs,threeparttable,graphicx}.",
        f"% suite {found.suite} {found.suite_version}, budget {found.budget}, version {found.version}",
        "",
    ]
    tables = [table for pair in report.pairs for table in (pair.summary, pair.differences) if table]
    for table in (*tables, *([report.across] if report.across else [])):
        lines += [*_table(table, report), ""]
    return "\n".join(lines)


def _table(table: Table, report: Report) -> list[str]:
    used = dict.fromkeys(number for line in table.lines for cell in line.cells for number in cell.notes)
    used |= dict.fromkeys(number for line in table.lines for number in line.notes)
    caption = f"{report.title}: {table.title}. {table.caption}".strip()
    lines = [
        r"\begin{table}[t]", r"\centering", r"\begin{threeparttable}", rf"\caption{{{escape(caption)}}}",
        r"\resizebox{\linewidth}{!}{%", r"\begin{tabular}{l" + "r" * len(table.headings) + "}", r"\toprule",
        " & ".join(["method", *(escape(heading.title) for heading in table.headings)]) + r" \\", r"\midrule",
    ]  # fmt: skip
    for line in table.lines:
        name = escape(line.name) + _marks(line.notes)
        cells = [_cell(cell, heading) for heading, cell in zip(table.headings, line.cells, strict=True)]
        lines.append(" & ".join([name, *cells]) + r" \\")
        if line.role == "teacher":
            lines.append(r"\midrule")
    lines += [r"\bottomrule", r"\end{tabular}}"]
    if used:
        notes = [rf"\item[{number}] {escape(report.footnotes[number - 1])}" for number in sorted(used)]
        lines += [r"\begin{tablenotes}\footnotesize", *notes, r"\end{tablenotes}"]
    return [*lines, r"\end{threeparttable}", r"\end{table}"]


def _cell(cell: Cell, heading: Heading) -> str:
    text = escape(f"{cell.text} {write_bounds(cell.low, cell.high, heading.form)}".strip())
    if cell.mark == "best":
        text = rf"\textbf{{{text}}}"
    elif cell.mark == "tied":
        text += r"\,$\approx$"
    return text + _marks(cell.notes)


def _marks(notes: tuple[int, ...]) -> str:
    return rf"\tnote{{{','.join(map(str, notes))}}}" if notes else ""


def escape(text: str) -> str:
    """Names and numbers as LaTeX prints them."""
    return "".join(_SPECIAL.get(character, character) for character in text.replace("\n", " "))
