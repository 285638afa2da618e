"""What attacks did to one model, for a terminal: a table, and texts with what was changed in them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from kdbench.victims.results import OUTCOMES, AttackEntry

_BEFORE, _AFTER = "red", "green"
_FIRST = 30
"""Characters of the first column: the longest name of a row, and the space after it."""
_SHARES = {
    "clean_f1": "clean F1",
    "f1_under_attack": "F1 under attack",
    "clean_accuracy": "clean accuracy",
    "accuracy_under_attack": "accuracy under attack, 95 %",
    "success_rate": "success rate",
    "mean_perturbed_words": "words changed",
    "remaining_words": "words left",
}
"""Metrics that are shares, and what people call them."""


def attack_tables(entries: Mapping[str, AttackEntry], title: str, width: int) -> Iterator[Table]:
    """A column for each attack, as many in a table as fit.

    Args:
        title: of the first table.
        width: characters in a line.
    """
    columns = {name: _values(entry) for name, entry in entries.items()}
    widest = max(len(text) for name, values in columns.items() for text in (name, *values.values()))
    fitting = max(1, (width - _FIRST) // (widest + 2))
    names = list(columns)
    for start in range(0, len(names), fitting):
        shown = names[start : start + fitting]
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        title = ""
        table.add_column("")
        for name in shown:
            table.add_column(name, justify="right")
        for row in dict.fromkeys(row for name in shown for row in columns[name]):
            table.add_row(row, *(columns[name].get(row, "") for name in shown))
        yield table


def _values(entry: AttackEntry) -> dict[str, str]:
    """Row -> text."""
    metrics = entry.metrics
    values = {title: _percent(metrics[name]) for name, title in _SHARES.items() if name in metrics}
    if entry.interval:
        low, high = (100 * bound for bound in entry.interval)
        under = 100 * metrics["accuracy_under_attack"]
        values[_SHARES["accuracy_under_attack"]] = f"{under:.1f} [{low:.1f}, {high:.1f}] %"
    values |= {name: str(entry.counts[name]) for name in OUTCOMES if name in entry.counts}
    values["mean queries"] = f"{metrics['mean_queries']:.1f}"
    if "mean_norm" in metrics:
        values["mean norm of successes"] = f"{metrics['mean_norm']:.4f}"
    values["seconds per example"] = f"{entry.seconds / max(1, entry.examples):.2f}"
    return values


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def security_curve(entry: AttackEntry) -> str:
    """Accuracy at each radius of an attack on images that has several; nothing for others."""
    points: Any = entry.details.get("security_curve", [])
    if len(points) < 3:
        return ""
    return ", ".join(f"{_percent(accuracy)} at {radius:.4g}" for radius, accuracy in points)


def successful_pairs(outcomes: pd.DataFrame, limit: int, labels: Sequence[str]) -> Iterator[Text]:
    """The first successes of an attack on texts, each as three lines; what differs stands in ``[[…]]``.

    Args:
        outcomes: the attack's table.
        limit: most pairs.
        labels: the task's classes; none for questions, whose answers are texts.
    """
    for row in outcomes[outcomes["outcome"] == "success"].head(limit).to_dict("records"):
        before, after = (labels[row[name]] if labels else row[name] for name in ("predicted", "adversarial"))
        counts = f"{row['queries']} queries, {row['perturbed_words']} of {row['words']} words"
        head = Text(f"{row['id']}: {before or 'no answer'} -> {after or 'no answer'} ({counts})", style="dim")
        original, perturbed = mark_changes(row["original"], row["perturbed"])
        yield Text("\n  ").join([head, original, perturbed])


def mark_changes(before: str, after: str) -> tuple[Text, Text]:
    """Two texts with the words that differ marked by ``[[…]]``, and by colour where there is one."""
    left, right = _words(before), _words(after)
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    changed = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    first = _marked(left, [(start, stop) for _, start, stop, _, _ in changed], _BEFORE)
    return first, _marked(right, [(start, stop) for _, _, _, start, stop in changed], _AFTER)


def _words(text: str) -> list[str]:
    return re.findall(r"\S+", text)


def _marked(words: list[str], spans: list[tuple[int, int]], colour: str) -> Text:
    marked, done = [], 0
    for start, stop in spans:
        marked += [Text(word) for word in words[done:start]]
        if stop > start:
            marked.append(Text(f"[[{' '.join(words[start:stop])}]]", style=f"bold {colour}"))
        done = stop
    return Text(" ").join([*marked, *(Text(word) for word in words[done:])])
