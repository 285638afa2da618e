"""The files of a leaderboard, by name."""

from __future__ import annotations

from collections.abc import Collection

from kdbench.reports.csv import summary_csv, tidy_csv
from kdbench.reports.json import to_json
from kdbench.reports.latex import to_latex
from kdbench.reports.markdown import to_markdown
from kdbench.reports.model import Report
from kdbench.reports.table import Leaderboard


def report_files(report: Report, board: Leaderboard, formats: Collection[str]) -> dict[str, str | bytes]:
    """File name -> content.

    Args:
        report: what is written.
        board: the values behind it, for ``results.csv``.
        formats: of ``md``, ``csv``, ``latex``, ``json``, ``html`` and ``figures``.
    """
    files: dict[str, str | bytes] = {}
    if "md" in formats:
        files["leaderboard.md"] = to_markdown(report)
    if "csv" in formats:
        files |= {"leaderboard.csv": summary_csv(report), "results.csv": tidy_csv(board)}
    if "latex" in formats:
        files["leaderboard.tex"] = to_latex(report)
    if "json" in formats:
        files["leaderboard.json"] = to_json(report)
    if "html" in formats:
        from kdbench.reports.html import to_html

        files["leaderboard.html"] = to_html(report)
    if "figures" in formats:
        from kdbench.reports.figures import figures

        files |= figures(report)
    return files
