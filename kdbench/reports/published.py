"""Numbers from papers that stand beside a suite's leaderboard, kept in ``published.yaml``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from kdbench.reports.model import PublishedTable
from kdbench.schema import Spec, load_yaml


class _Table(Spec):
    title: str
    source: str
    note: str
    suites: tuple[str, ...]
    rows: dict[str, dict[str, float]]


class _File(Spec):
    tables: tuple[_Table, ...]


@cache
def _load() -> tuple[_Table, ...]:
    return load_yaml(Path(__file__).with_name("published.yaml"), _File).tables


def published_tables(suite: str) -> tuple[PublishedTable, ...]:
    """What papers report on the tasks of a suite; nothing for most suites."""
    return tuple(
        PublishedTable(
            table.title, table.source, table.note, tuple((name, tuple(row.items())) for name, row in table.rows.items())
        )
        for table in _load()
        if suite in table.suites
    )
