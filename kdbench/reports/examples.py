"""Successful attacks on texts for people to read: a few, the same ones every time, evenly from everywhere."""

from __future__ import annotations

import difflib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from kdbench.hashing import unit_hash
from kdbench.record import EXAMPLES_FILE, Record
from kdbench.reports.model import AdversarialExample
from kdbench.reports.table import Leaderboard
from kdbench.rows import Row
from kdbench.store import Store

MOST = 50
Place = tuple[str, str, str, str]
"""(pair, task, attack, method)."""
_COLUMNS = ("id", "outcome", "original", "perturbed", "predicted", "adversarial")


def adversarial_examples(store: Store, board: Leaderboard) -> tuple[AdversarialExample, ...]:
    """At most :data:`MOST`, in the order of the tables.

    Which ones is told by a hash of the texts and of where they were found; :func:`pick_evenly` says from where.
    """
    found: dict[Place, list[tuple[float, Row, dict[str, Any]]]] = defaultdict(list)
    for row in board.manifest.rows:
        record = board.records.get(row.key)
        if row.evaluation != "attack" or record is None:
            continue
        for success in _successes(store, record):
            texts = [*row.place, success["original"], success["perturbed"]]
            found[row.pair, row.task, row.dataset, row.method].append((unit_hash("to-read", texts), row, success))
    taken = pick_evenly({place: len(those) for place, those in found.items()}, MOST)
    similarities = _Similarities(store, board)
    return tuple(
        _example(row, success, board.records[row.key], similarities.of(row, success["id"]))
        for place, those in found.items()
        for _, row, success in sorted(those, key=lambda one: one[0])[: taken[place]]
    )


def pick_evenly(available: Mapping[Place, int], most: int) -> Counter[Place]:
    """How many to take from each place, ``most`` at most, so that pairs, tasks, attacks and methods come alike often.

    One after the other is taken from the place whose parts have come least often so far; of equal ones, a hash of
    their names decides.
    """
    taken: Counter[Place] = Counter()
    seen: Counter[tuple[int, str]] = Counter()
    order = sorted(available, key=lambda place: unit_hash("to-read", place))
    for _ in range(min(most, sum(available.values()))):
        open_places = [place for place in order if taken[place] < available[place]]
        place = min(open_places, key=lambda at: (sum(seen[part] for part in enumerate(at)), taken[at]))
        taken[place] += 1
        seen.update(enumerate(place))
    return taken


def changed_runs(original: str, perturbed: str) -> tuple[tuple[tuple[str, bool], ...], tuple[tuple[str, bool], ...]]:
    """Both texts as runs of words, each with whether the other text has others, or none, in its place.

    >>> changed_runs("a good film", "a fine old film")
    ((('a', False), ('good', True), ('film', False)), (('a', False), ('fine old', True), ('film', False)))
    """
    before, after = original.split(), perturbed.split()
    steps = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    old = [(" ".join(before[i1:i2]), tag != "equal") for tag, i1, i2, _, _ in steps if i1 < i2]
    new = [(" ".join(after[j1:j2]), tag != "equal") for tag, _, _, j1, j2 in steps if j1 < j2]
    return tuple(old), tuple(new)


def _successes(store: Store, record: Record) -> list[dict[str, Any]]:
    """Rows of an attack's outcomes; none of an attack that keeps no texts, as those on images."""
    path = store.cell(record.key) / EXAMPLES_FILE
    if EXAMPLES_FILE not in record.files or not set(_COLUMNS) <= set(pq.read_schema(path).names):
        return []
    table = pd.read_parquet(path, columns=list(_COLUMNS), filters=[("outcome", "==", "success")])
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _example(row: Row, success: dict[str, Any], record: Record, similarity: float) -> AdversarialExample:
    task: Any = record.spec["task"]
    answers = task["kind"] == "question-answering"
    before, after = (
        (success[name] or "no answer") if answers else str(task["labels"][success[name]])
        for name in ("predicted", "adversarial")
    )
    original, perturbed = changed_runs(success["original"], success["perturbed"])
    return AdversarialExample(
        row.pair, row.task, row.dataset, row.method, row.seed, original, perturbed, before, after, similarity
    )


class _Similarities:
    """What ``quality`` cells measured, each file read once."""

    def __init__(self, store: Store, board: Leaderboard) -> None:
        self._store = store
        rows = [row for row in board.manifest.rows if row.evaluation == "quality" and row.key in board.records]
        self._keys = {(*row.place[:4], row.dataset): row.key for row in rows}
        self._known: dict[str, dict[str, float]] = {}

    def of(self, row: Row, identity: str) -> float:
        """Of one example of an attack's row; NaN where it was not measured."""
        key = self._keys.get((*row.place[:4], row.dataset))
        if key is None:
            return math.nan
        if key not in self._known:
            table = pd.read_parquet(self._store.cell(key) / EXAMPLES_FILE, columns=["id", "similarity"])
            self._known[key] = dict(zip(table["id"], table["similarity"], strict=True))
        return self._known[key].get(identity, math.nan)
