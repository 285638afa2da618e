"""Footnotes: doubts that records carry, and those that only a table can see, each tied to the numbers it is about."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from scipy.stats import norm

from kdbench.reports.axes import AXES
from kdbench.reports.outcomes import OutcomeReader, Outcomes
from kdbench.reports.table import Leaderboard
from kdbench.rows import Row
from kdbench.stats.sufficient import metric_of_means, metric_terms

Place = tuple[str, str, str]
"""(pair, method, column of the summary); an empty column is the method as a whole."""

_COLUMNS = {"": "", "fidelity": "agreement", "calibration": "ece", "efficiency": "parameters"}


class Footnotes:
    """Texts in the order of their numbers, from 1, and where each belongs."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._places: dict[Place, list[int]] = defaultdict(list)
        self._cells: dict[tuple[str, str, str], list[int]] = defaultdict(list)

    def add(self, text: str, places: Iterable[Place], rows: Iterable[Row] = ()) -> None:
        """Tie a text to columns of the summary, and to cells of the tables by task."""
        if text not in self.texts:
            self.texts.append(text)
        number = self.texts.index(text) + 1
        for place in places:
            self._places[place].append(number)
        for row in rows:
            self._cells[row.pair, row.method, f"{row.task}/{row.evaluation}/{row.dataset}"].append(number)

    def of(self, pair: str, method: str, column: str) -> tuple[int, ...]:
        """Numbers at a column of the summary."""
        return tuple(dict.fromkeys(self._places[pair, method, column]))

    def of_set(self, pair: str, method: str, task: str, evaluation: str, dataset: str) -> tuple[int, ...]:
        """Numbers at one set of one task."""
        return tuple(dict.fromkeys(self._cells[pair, method, f"{task}/{evaluation}/{dataset}"]))


def collect_footnotes(board: Leaderboard, reader: OutcomeReader) -> Footnotes:
    """Flags of records, one footnote for each method, column and kind of flag; and models that learned nothing."""
    notes = Footnotes()
    grouped: dict[tuple[str, str, str, str], list[tuple[Row, str]]] = defaultdict(list)
    for row in board.manifest.rows:
        for flag in board.records[row.key].flags if row.key in board.records else ():
            name, _, rest = flag.partition(": ")
            column = _COLUMNS.get(row.evaluation, row.evaluation)
            grouped[row.pair, row.method, column, name].append((row, rest))
    for (pair, method, column, name), found in grouped.items():
        text = f"{name} ({method}, {pair}): " + "; ".join(f"{_where(row)}: {rest}" for row, rest in found)
        notes.add(text, [(pair, method, column)], [row for row, _ in found])
    _learned_nothing(board, reader, notes)
    return notes


def _where(row: Row) -> str:
    what = "training" if not row.evaluation else f"{row.evaluation} {row.dataset}" if row.dataset != row.task else ""
    return " ".join(filter(None, (row.task, what, f"seed {row.seed}")))


def _learned_nothing(board: Leaderboard, reader: OutcomeReader, notes: Footnotes) -> None:
    """A model whose answers do not depend on the input is hard to attack: its robustness means nothing."""
    for pair in board.pairs:
        for task in board.tasks:
            kind = board.manifest.kinds[task]
            if kind == "question-answering":
                continue
            correlation = "pearson" if kind == "text-regression" else "matthews"
            found: dict[str, Outcomes] = {}
            for method in board.methods(pair):
                outcomes = reader.read(pair, task, method, "in_domain", task, correlation)
                if outcomes is not None and not _says_something(outcomes, correlation):
                    found[method] = outcomes
            if found:
                _add_learned_nothing(board, notes, pair, task, found)


def _says_something(outcomes: Outcomes, correlation: str) -> bool:
    """Whether predictions and labels go together: a correlation of n unrelated pairs has a deviation of 1 / sqrt(n)."""
    return _score(outcomes, correlation) > float(norm.ppf(0.975)) / math.sqrt(len(outcomes.labels))


def _score(outcomes: Outcomes, metric: str) -> float:
    """Mean over seeds."""
    return float(metric_of_means(metric, metric_terms(metric, outcomes.predictions, outcomes.labels).mean(1)).mean())


def _add_learned_nothing(
    board: Leaderboard, notes: Footnotes, pair: str, task: str, found: dict[str, Outcomes]
) -> None:
    labels = next(iter(found.values())).labels
    text = f"predictions on {task} tell nothing of the labels, as far as {len(labels)} examples show ({pair}): "
    if board.manifest.kinds[task] == "text-regression":
        text += "correlation of " + ", ".join(f"{m} {_score(outcomes, 'pearson'):.2f}" for m, outcomes in found.items())
    else:
        commonest = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
        text += ", ".join(f"{method} {_score(outcomes, 'accuracy'):.1%}" for method, outcomes in found.items())
        text += f" right, always giving the commonest label would be {commonest:.1%}"
    text += "; what is kept there out of domain or under attack means nothing"
    about = [
        row
        for row in board.manifest.rows
        if (row.pair, row.task) == (pair, task) and row.method in found and row.evaluation in AXES
    ]
    notes.add(text, dict.fromkeys((pair, row.method, row.evaluation) for row in about), about)
