"""The leaderboard as Markdown."""

from __future__ import annotations

from kdbench.manifest import Manifest
from kdbench.plan import TEACHER
from kdbench.reports.columns import Column, interval, summary_columns, task_columns, write_entry
from kdbench.reports.table import Leaderboard


def to_markdown(board: Leaderboard) -> str:
    """The whole report: summary per pair, one table per task, what is missing, where numbers come from."""
    manifest = board.manifest
    lines = [f"# {manifest.suite}", ""]
    if manifest.description:
        lines += [" ".join(manifest.description.split()), ""]
    lines += [reading_guide(board), ""]
    for pair in board.pairs:
        lines += [f"## {pair}", "", *_table(board, pair, summary_columns(board), intervals=False), ""]
        for task in board.tasks:
            columns = [c for c in task_columns(board, task) if any(c.entry(pair, m) for m in board.methods(pair))]
            if columns:
                lines += [f"### {pair}: {task}", "", *_table(board, pair, columns, intervals=True), ""]
    lines += _notes(board)
    return "\n".join(lines).rstrip() + "\n"


def reading_guide(board: Leaderboard) -> str:
    """One paragraph that says what the numbers are."""
    seeds = board.seeds
    text = (
        "Percentages unless said otherwise. In-domain is the mean of the tasks' primary metrics, out-of-domain the "
        "mean over each task's sets, under attack the accuracy over all sampled examples, those that were wrong "
        "before the attack included. Agreement: share of predictions equal to the teacher's. "
    )
    if len(seeds) > 1:
        text += f"Means ± standard deviation over {len(seeds)} seeds ({', '.join(map(str, seeds))})."
    else:
        text += (
            "One seed: brackets are 95 % Wilson intervals over examples, and say nothing about the spread of training."
        )
    return text


def _table(board: Leaderboard, pair: str, columns: list[Column], *, intervals: bool) -> list[str]:
    lines = ["| method | " + " | ".join(_escape(column.title) for column in columns) + " |"]
    lines.append("|---|" + "---:|" * len(columns))
    for method in board.methods(pair):
        cells = []
        for column in columns:
            entry = column.entry(pair, method)
            text = write_entry(entry, column.form)
            cells.append(f"{text} {interval(entry)}".strip() if intervals and column.form == "percent" else text)
        lines.append(f"| {_escape(method)} | " + " | ".join(cells) + " |")
    return lines


def _notes(board: Leaderboard) -> list[str]:
    manifest = board.manifest
    lines: list[str] = []
    if board.flags:
        lines += ["## Flags", "", *(f"- {_escape(flag)}" for flag in board.flags), ""]
    if board.failures:
        lines += ["## Failed", "", *(f"- {_escape(failure)}" for failure in board.failures), ""]
    if manifest.skipped:
        lines += ["## Not measured", ""]
        for item in manifest.skipped:
            lines.append(f"- {item.task}, {item.evaluation} {item.dataset}: {_escape(item.reason)}")
        lines.append("")
    lines += ["## Methods", ""]
    for name, info in manifest.methods.items():
        if name != TEACHER:
            lines.append(f"- **{_escape(name)}** ({_escape(info.cite)}): {settings(manifest, name)}")
    lines += ["", "## Where the numbers come from", ""]
    lines.append(f"- suite {manifest.suite} {manifest.suite_version}, budget {manifest.budget}, "
                 f"version {manifest.version}")  # fmt: skip
    machines = sorted({f"{run.host}, {run.device}" for run in board.runs.values()})
    versions = sorted({", ".join(f"{k} {v}" for k, v in run.versions.items()) for run in board.runs.values()})
    lines += [f"- machine: {machine}" for machine in machines]
    lines += [f"- software: {version}" for version in versions]
    lines.append(f"- {len(board.records)} cells; largest worker {board.peak_memory_mb:.0f} MB")
    lines += ["", "```", *manifest.commands, f"kdbench report --suite {manifest.suite}", "```"]
    return lines


def settings(manifest: Manifest, method: str) -> str:
    """A method's settings on one line."""
    parts = manifest.methods[method].parts
    return "; ".join(
        (f"{part['name']}: " if len(parts) > 1 else "")
        + ", ".join(f"{name} {value}" for name, value in part["config"].items())
        for part in parts
    )


def _escape(text: str) -> str:
    """Keep names from ending a table cell or becoming markup."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
