"""Numbers with their spread, how they are combined, and how they are written."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from kdbench.reports.table import Status, Value

FORMS = {
    "percent": (100.0, 1),
    "millions": (1e-6, 1),
    "billions": (1e-9, 2),
    "count": (1.0, 0),
    "minutes": (1.0, 1),
    "milliseconds": (1.0, 1),
    "number": (1.0, 1),
    "norm": (1.0, 3),
    "ratio": (1.0, 2),
    "points": (100.0, 1),
    "p": (1.0, 3),
}
"""Form -> factor and digits of a printed number."""

_SAME_FOR_ALL_SEEDS = ("millions", "billions")


@dataclass(frozen=True)
class Entry:
    """One number of a table: the mean over tasks and sets of seed means, with its spread.

    Attributes:
        number: NaN unless ``status`` is ``ok``.
        spread: standard deviation over seeds; NaN with fewer than two.
        parts: what went in and what should have.
        low, high: interval over examples, where one seed leaves nothing else.
        by_seed: the number of each seed; empty where seeds do not match.
    """

    number: float
    spread: float
    parts: tuple[int, int]
    status: Status
    low: float = math.nan
    high: float = math.nan
    by_seed: tuple[float, ...] = ()


def single(value: Value) -> Entry:
    """One value as an entry."""
    if value.status != "ok":
        return Entry(math.nan, value.sd, value.seeds, value.status)
    return Entry(value.mean, value.sd, value.seeds, value.status, value.low, value.high, value.by_seed)


def combine(values: Iterable[Value]) -> Entry:
    """Mean over sets; one set keeps its interval."""
    known = list(values)
    return single(known[0]) if len(known) == 1 else combine_entries([single(value) for value in known])


def combine_entries(entries: list[Entry]) -> Entry:
    """Mean of means; not whole unless all parts are.

    Its spread is that of the seeds' own means: sets share the trained model, so their deviations do not cancel as those
    of independent parts would.
    """
    if len(entries) == 1:
        return entries[0]
    parts = (sum(entry.status == "ok" for entry in entries), len(entries))
    if parts[0] < parts[1]:
        failed = any(entry.status == "failed" for entry in entries)
        return Entry(math.nan, math.nan, parts, "failed" if failed else "missing")
    mean = statistics.fmean(entry.number for entry in entries)
    paired = len({len(entry.by_seed) for entry in entries}) == 1
    by_seed = tuple(map(statistics.fmean, zip(*(entry.by_seed for entry in entries), strict=True))) if paired else ()
    return Entry(mean, statistics.stdev(by_seed) if len(by_seed) > 1 else math.nan, parts, "ok", by_seed=by_seed)


def write_entry(entry: Entry | None, form: str) -> str:
    """An entry as it stands in a table: number, ± sd over seeds, or why there is none."""
    if entry is None:
        return "–"
    if entry.status != "ok":
        return f"{entry.status} ({entry.parts[0]}/{entry.parts[1]})"
    scale, digits = FORMS[form]
    if form == "millions" and entry.number < 1e6:
        digits = 2 if entry.number >= 1e5 else 3  # image students have a few thousand
    text = f"{entry.number * scale:,.{digits}f}"
    if math.isnan(entry.spread) or form in _SAME_FOR_ALL_SEEDS:
        return text
    return f"{text} ± {entry.spread * scale:.{digits}f}"


def plain(number: float) -> float | None:
    """A number for CSV and JSON: eight digits, nothing for NaN."""
    return None if math.isnan(number) else float(f"{number:.8g}")


def write_bounds(low: float, high: float, form: str) -> str:
    """``[low, high]`` as numbers of a form are written, with signs for differences; nothing for NaN."""
    if math.isnan(low):
        return ""
    scale, digits = FORMS.get(form, (1.0, 1))
    sign = "+" if form == "points" else ""
    return f"[{low * scale:{sign}.{digits}f}, {high * scale:{sign}.{digits}f}]"


def interval(entry: Entry | None) -> str:
    """``[low, high]`` in percent, where a single seed leaves the examples as the only spread."""
    return "" if entry is None else write_bounds(entry.low, entry.high, "percent")
