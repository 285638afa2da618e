"""The leaderboard as Markdown."""

from __future__ import annotations

from typing import Any

from kdbench.manifest import Manifest
from kdbench.reports.columns import Column, interval, summary_columns, task_columns, write_entry
from kdbench.reports.commands import portable_command
from kdbench.reports.table import Leaderboard
from kdbench.rows import TEACHER


def to_markdown(board: Leaderboard) -> str:
    """The whole report: summary per pair, one table per task, what is missing, where numbers come from."""
    manifest = board.manifest
    lines = [f"# {manifest.suite}", ""]
    if manifest.description:
        lines += [" ".join(manifest.description.split()), ""]
    lines += [reading_guide(board), ""]
    if manifest.study:
        lines += ["**What the study found: [study.md](study.md)**, with [its numbers](study.csv) and "
                  "its figure ([SVG](study.svg), [PNG](study.png)).", ""]  # fmt: skip
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
    if "question-answering" in {board.manifest.kinds[task] for task in board.tasks}:
        text += (
            "Of answers: token F1, under attack that of the strongest attempt, over answerable questions; agreement: "
            "share of predicted spans equal to the teacher's; ECE: of the probability that the answer matches exactly. "
        )
    measured = {place.evaluation for place in board.values}
    text += "".join(sentence for evaluation, sentence in _EXPLAINED.items() if evaluation in measured)
    if len(seeds) > 1:
        text += f"Means ± standard deviation over {len(seeds)} seeds ({', '.join(map(str, seeds))})."
    else:
        text += (
            "One seed: brackets are 95 % Wilson intervals over examples, and say nothing about the spread of training."
        )
    return text


_EXPLAINED = {
    "transfer": "Transfer: accuracy on what the attacks found on the teacher. ",
    "corruption": "Corruptions: accuracy, mean over corruptions and severities; mCE: mean corruption error relative to "
    "the finetune student, whose own is 100; lower is better. ",
}


def _table(board: Leaderboard, pair: str, columns: list[Column], *, intervals: bool) -> list[str]:
    lines = ["| method | " + " | ".join(escape(column.title) for column in columns) + " |"]
    lines.append("|---|" + "---:|" * len(columns))
    for method in board.methods(pair):
        cells = []
        for column in columns:
            entry = column.entry(pair, method)
            text = write_entry(entry, column.form)
            cells.append(f"{text} {interval(entry)}".strip() if intervals and column.form == "percent" else text)
        lines.append(f"| {escape(method)} | " + " | ".join(cells) + " |")
    return lines


def _notes(board: Leaderboard) -> list[str]:
    manifest = board.manifest
    lines: list[str] = []
    if board.flags:
        lines += ["## Flags", "", *(f"- {escape(flag)}" for flag in board.flags), ""]
    if board.failures:
        lines += ["## Failed", "", *(f"- {escape(failure)}" for failure in board.failures), ""]
    if manifest.skipped:
        lines += ["## Not measured", ""]
        for item in manifest.skipped:
            lines.append(f"- {item.task}, {item.evaluation} {item.dataset}: {escape(item.reason)}")
        lines.append("")
    lines += ["## Methods", ""]
    for name, info in manifest.methods.items():
        if name != TEACHER:
            by_kind = settings(manifest, name)
            lines.append(f"- **{escape(name)}** ({escape(info.cite)})" + (f": {by_kind['']}" if "" in by_kind else ""))
            lines += [f"  - {kind}: {values}" for kind, values in by_kind.items() if kind]
    lines += ["", "## Where the numbers come from", ""]
    lines.append(f"- suite {manifest.suite} {manifest.suite_version}, budget {manifest.budget}, "
                 f"version {manifest.version}")  # fmt: skip
    machines = sorted({f"{run.host}, {run.device}" for run in board.runs.values()})
    versions = sorted({", ".join(f"{k} {v}" for k, v in run.versions.items()) for run in board.runs.values()})
    lines += [f"- machine: {machine}" for machine in machines]
    lines += [f"- software: {version}" for version in versions]
    lines.append(f"- {len(board.records)} cells; largest worker {board.peak_memory_mb:.0f} MB")
    commands = dict.fromkeys(map(portable_command, manifest.commands))
    lines += ["", "```", *commands, f"kdbench report --suite {manifest.suite}", "```"]
    return lines


def settings(manifest: Manifest, method: str) -> dict[str, str]:
    """A method's settings on one line each: kinds of task -> settings; the key is empty where all kinds agree."""
    used = {manifest.kinds[row.task] for row in manifest.rows}
    kinds: dict[str, list[str]] = {}
    for kind, parts in manifest.methods[method].parts.items():
        if kind in used:
            kinds.setdefault(_settings(parts), []).append(kind)
    if len(kinds) == 1:
        return {"": next(iter(kinds))}
    return {", ".join(names): line for line, names in kinds.items()}


def _settings(parts: list[dict[str, Any]]) -> str:
    return "; ".join(
        (f"{part['name']}: " if len(parts) > 1 else "")
        + ", ".join(f"{name} {value}" for name, value in part["config"].items())
        for part in parts
    )


def escape(text: str) -> str:
    """Keep names from ending a table cell or becoming markup."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
