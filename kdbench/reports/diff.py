"""Two stores side by side: what was measured in both, and whether it came out the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from kdbench.reports.entries import plain
from kdbench.reports.provenance import provenance
from kdbench.reports.table import Leaderboard, Place


@dataclass(frozen=True)
class Change:
    """One value that differs, in natural units; NaN where a side has not finished it."""

    place: Place
    first: float
    second: float
    first_seeds: int
    second_seeds: int


@dataclass(frozen=True)
class Diff:
    """What two leaderboards of one suite have in common and what not.

    Attributes:
        same: values that are equal.
        changes: values that both sides were asked for, and that differ.
        only_first, only_second: methods and pairs that the other was not asked for, with the number of values.
        unequal_cells: places whose cells have one key and two results: something is not deterministic, or was edited.
        warnings: other versions, budgets or data: reasons not to read differences as progress.
    """

    same: int
    changes: tuple[Change, ...]
    only_first: dict[str, int]
    only_second: dict[str, int]
    unequal_cells: tuple[str, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data; ``None`` for what is not finished."""
        changes = [
            {"place": asdict(change.place), "first": plain(change.first), "second": plain(change.second)}
            for change in self.changes
        ]
        return {**{name: getattr(self, name) for name in _LISTED}, "changes": changes}


_LISTED = ("same", "only_first", "only_second", "unequal_cells", "warnings")


def diff(first: Leaderboard, second: Leaderboard) -> Diff:
    """Compare value by value and cell by cell."""
    common = [place for place in first.values if place in second.values]
    changes = [change for place in common if (change := _change(first, second, place))]
    return Diff(
        len(common) - len(changes),
        tuple(changes),
        _only(first, second),
        _only(second, first),
        tuple(_unequal(first, second)),
        tuple(_warnings(first, second)),
    )


def _change(first: Leaderboard, second: Leaderboard, place: Place) -> Change | None:
    own, other = first.values[place], second.values[place]
    if own.by_seed == other.by_seed and own.status == other.status:
        return None
    return Change(place, own.mean, other.mean, own.seeds[0], other.seeds[0])


def _only(board: Leaderboard, other: Leaderboard) -> dict[str, int]:
    found: dict[str, int] = {}
    for place in board.values:
        if place not in other.values:
            name = f"{place.method} ({place.pair})"
            found[name] = found.get(name, 0) + 1
    return found


def _unequal(first: Leaderboard, second: Leaderboard) -> list[str]:
    found = []
    for row in first.manifest.rows:
        own, other = first.records.get(row.key), second.records.get(row.key)
        if own and other and own != other:
            found.append(row.describe())
    return found


def _warnings(first: Leaderboard, second: Leaderboard) -> list[str]:
    own, other = provenance(first), provenance(second)
    found = [
        f"{title} {getattr(own, name)} against {getattr(other, name)}"
        for name, title in (("suite_version", "suite version"), ("budget", "budget"), ("version", "version"))
        if getattr(own, name) != getattr(other, name)
    ]
    marks = {use: mark for use, _, mark in other.data}
    found += [f"other data for {use}" for use, _, mark in own.data if marks.get(use, mark) != mark]
    return found
