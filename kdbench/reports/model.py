"""The report as plain data: what every renderer (Markdown, CSV, LaTeX, JSON, HTML, terminal) is given.

Nothing here is computed; see :mod:`kdbench.reports.build`. Numbers are in natural units (fractions, counts, minutes),
``text`` is how they are printed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["teacher", "control", "method"]
Status = Literal["ok", "missing", "failed", "none"]
Mark = Literal["", "best", "tied"]


@dataclass(frozen=True)
class Heading:
    """A column.

    Attributes:
        key: its name for machines, unique in its table.
        title: its name for people.
        form: how numbers are written, one of :data:`kdbench.reports.entries.FORMS`; ``text`` for words.
        better: 1 where more is better, -1 where less is, 0 where neither.
    """

    key: str
    title: str
    form: str
    better: int = 0


@dataclass(frozen=True)
class Cell:
    """One printed number.

    Attributes:
        text: as printed, with ``± sd`` over seeds, without interval, mark and footnotes; ``missing (1/3)`` or
            ``failed (1/3)`` where not every planned seed, task and set is there; ``–`` where nothing was asked for.
        number: in natural units; NaN unless ``status`` is ``ok``.
        spread: standard deviation over seeds; NaN with fewer than two.
        low, high: 95 % interval; NaN where there is none.
        status: ``none`` where nothing was asked for.
        mark: ``best`` of its column, or ``tied``: not separable from the best.
        notes: numbers of footnotes, from 1.
    """

    text: str
    number: float = math.nan
    spread: float = math.nan
    low: float = math.nan
    high: float = math.nan
    status: Status = "ok"
    mark: Mark = ""
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Line:
    """A row: a method and its cells, in the order of the headings; notes of the method as a whole."""

    name: str
    role: Role
    cells: tuple[Cell, ...]
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table whose first column, ``method``, is not among the headings."""

    key: str
    title: str
    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    caption: str = ""

    def column(self, key: str) -> dict[str, Cell]:
        """The cells under a heading by method; empty where there is no such heading."""
        index = next((i for i, heading in enumerate(self.headings) if heading.key == key), None)
        return {} if index is None else {line.name: line.cells[index] for line in self.lines}


@dataclass(frozen=True)
class PairReport:
    """Everything about one student/teacher pair.

    Attributes:
        summary: one row for each method; keys include ``in_domain``, ``in_domain_rank``, ``ood``, ``attack`` (and their
            ranks), ``agreement``, ``ece``, ``parameters``, ``flops``, ``latency_ms``, ``minutes``, ``seeds``.
        differences: each method against the reference; keys ``in_domain``, ``ood``, ``attack``.
        tasks: one table for each task, keyed by its name.
        attacks: one table for each task and attack, keyed ``task/attack``: how searches ended, what they cost, how
            far from the originals they led, and what breaks other models.
    """

    name: str
    student: str
    summary: Table
    differences: Table | None
    tasks: tuple[Table, ...]
    attacks: tuple[Table, ...] = ()


@dataclass(frozen=True)
class RankInterval:
    """Where a method stands in a pair on one axis (``in_domain``, ``ood``, ``attack``).

    Attributes:
        score: mean over tasks, sets and seeds.
        best, worst: the range of ranks that is not ruled out, 1 is first.
        low, high: 95 % interval of its rank over bootstrap replicates.
    """

    pair: str
    axis: str
    method: str
    score: float
    best: int
    worst: int
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """A line: accuracy under attack over budgets, or a training's terms over updates.

    Attributes:
        panel: what it shares a picture with, for instance ``minilm-l6-l3 · sst2 · deepwordbug``.
        label: the method, or the term.
        x, y: points; ``low`` and ``high`` their 95 % intervals, empty where there are none.
    """

    panel: str
    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    x_title: str = ""
    y_title: str = ""


@dataclass(frozen=True)
class AdversarialExample:
    """A text that an attack changed, for people to read.

    Attributes:
        original, perturbed: runs of words, each with whether the other text has others in its place.
        before, after: the class or the answer that the model gives; the one before is right.
        similarity: of the two texts, NaN where it was not measured.
    """

    pair: str
    task: str
    attack: str
    method: str
    seed: int
    original: tuple[tuple[str, bool], ...]
    perturbed: tuple[tuple[str, bool], ...]
    before: str
    after: str
    similarity: float = math.nan


@dataclass(frozen=True)
class PublishedTable:
    """Numbers of a paper, never mixed with measured ones: method -> number in percent."""

    title: str
    source: str
    note: str
    rows: tuple[tuple[str, tuple[tuple[str, float], ...]], ...]


@dataclass(frozen=True)
class MethodNote:
    """A method's citation and settings, by kind of task where those differ (else under the empty name)."""

    name: str
    cite: str
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from."""

    suite: str
    suite_version: int
    budget: str
    version: str
    commands: tuple[str, ...]
    machines: tuple[str, ...]
    software: tuple[str, ...]
    data: tuple[tuple[str, str, str], ...] = field(default=())
    """(what it was used for, where it is from, fingerprint)"""
    cells: int = 0
    peak_memory_mb: float = 0.0
    attacks: tuple[tuple[str, str], ...] = ()
    """(attack, version string of everything that can change its outcomes)"""


@dataclass(frozen=True)
class Report:
    """A whole leaderboard.

    Attributes:
        reference: the method that the others are compared with.
        guide: sentences on how the numbers are to be read.
        across: methods over all tasks and pairs; nothing with fewer than two of those.
        footnotes: footnote i + 1.
        unranked: why a method, or a set, is left out of ranks and comparisons.
        failed, skipped: cells that failed, and what could not be measured.
        security, training: lines for pictures.
        examples: successful attacks on texts, picked evenly from methods, tasks and attacks.
    """

    title: str
    description: str
    reference: str
    study: str
    guide: tuple[str, ...]
    pairs: tuple[PairReport, ...]
    across: Table | None
    ranks: tuple[RankInterval, ...]
    footnotes: tuple[str, ...]
    unranked: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: tuple[str, ...]
    published: tuple[PublishedTable, ...]
    methods: tuple[MethodNote, ...]
    security: tuple[Curve, ...]
    training: tuple[Curve, ...]
    provenance: Provenance
    examples: tuple[AdversarialExample, ...] = ()
