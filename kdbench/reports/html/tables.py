"""Tables as the template wants them: what is printed, what is sorted by, and where footnotes lead."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from kdbench.reports.entries import write_bounds
from kdbench.reports.model import Cell, Heading, Table


@dataclass(frozen=True)
class Reference:
    """A link to a footnote, and its own anchor for the way back."""

    number: int
    anchor: str


@dataclass(frozen=True)
class CellView:
    """A cell; ``order`` is what it is sorted by, empty for no number; ``bounds`` its interval."""

    text: str
    bounds: str
    order: str
    status: str
    mark: str
    references: tuple[Reference, ...]


@dataclass(frozen=True)
class HeadingView:
    """A heading; ``about`` says of which axis a rank is, for those who cannot see what stands beside it."""

    title: str
    about: str
    better: int


@dataclass(frozen=True)
class RowView:
    """A row."""

    name: str
    role: str
    references: tuple[Reference, ...]
    cells: tuple[CellView, ...]


@dataclass(frozen=True)
class TableView:
    """A table."""

    caption: str
    headings: tuple[HeadingView, ...]
    rows: tuple[RowView, ...]


class References:
    """Numbers the places that lead to each footnote."""

    def __init__(self) -> None:
        self._count: Counter[int] = Counter()

    def to(self, notes: tuple[int, ...]) -> tuple[Reference, ...]:
        """Links to footnotes from one more place."""
        self._count.update(notes)
        return tuple(Reference(number, f"reference-{number}-{self._count[number]}") for number in notes)

    def back(self, number: int) -> list[str]:
        """Anchors of the places that lead to a footnote."""
        return [f"reference-{number}-{i}" for i in range(1, self._count[number] + 1)]


def view_table(table: Table, references: References, caption: str = "") -> TableView:
    """A table with its footnotes' links."""
    rows = tuple(
        RowView(
            line.name,
            line.role,
            references.to(line.notes),
            tuple(_cell(c, h, references) for c, h in zip(line.cells, table.headings, strict=True)),
        )
        for line in table.lines
    )
    return TableView(caption or table.caption or table.title, _headings(table.headings), rows)


def _headings(headings: tuple[Heading, ...]) -> tuple[HeadingView, ...]:
    titles = {heading.key: heading.title for heading in headings}
    return tuple(
        HeadingView(heading.title, titles.get(heading.key.rpartition("_")[0], ""), heading.better)
        for heading in headings
    )


def _cell(cell: Cell, heading: Heading, references: References) -> CellView:
    order = "" if math.isnan(cell.number) else repr(float(cell.number))
    bounds = write_bounds(cell.low, cell.high, heading.form)
    return CellView(cell.text, bounds, order, cell.status, cell.mark, references.to(cell.notes))
