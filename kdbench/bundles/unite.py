"""One manifest from several of the same suite version and budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdbench.bundles.agreement import flat
from kdbench.bundles.findings import Finding
from kdbench.manifest import Manifest, MethodInfo
from kdbench.record import Record
from kdbench.rows import Row

Identity = tuple[str, int, str, str]


def identity(manifest: Manifest) -> Identity:
    """What manifests of one leaderboard have in common: suite, its version, budget and the digest of all that."""
    return manifest.suite, manifest.suite_version, manifest.budget, manifest.version


def unite(named: Sequence[tuple[str, Manifest]], records: Mapping[str, Record]) -> tuple[Manifest, list[Finding]]:
    """Rows, methods and commands of all.

    Args:
        named: manifests of one identity, each with the name of its source; at least one.
        records: known cells by key, for telling why two fill one place.

    Returns:
        The manifest, and every conflict: a place that two cells fill, a method with two settings.
    """
    conflicts: list[Finding] = []
    rows: dict[tuple[str, ...], tuple[str, Row]] = {}
    methods: dict[str, tuple[str, MethodInfo]] = {}
    for name, manifest in named:
        for method, info in manifest.methods.items():
            other, known = methods.get(method, (name, info))
            if any(parts != info.parts.get(kind, parts) for kind, parts in known.parts.items()):
                conflicts.append(Finding(f"method {method} has other settings in {name} than in {other}"))
            methods[method] = (other, info.model_copy(update={"parts": {**known.parts, **info.parts}}))
        for row in manifest.rows:
            other, held = rows.setdefault(row.place, (name, row))
            if held.key != row.key:
                what = f"{other} and {name} have different cells for one place{_difference(held.key, row.key, records)}"
                conflicts.append(Finding(what, row.describe()))
    first = named[0][1]
    filled = {(row.task, row.evaluation, row.dataset) for _, row in rows.values()}
    skipped = {item.place: item for _, manifest in named for item in manifest.skipped}
    united = first.model_copy(
        update={
            "rows": [row for _, row in rows.values()],
            "methods": {method: info for method, (_, info) in methods.items()},
            "skipped": [item for place, item in skipped.items() if place[1:] not in filled],
            "commands": list(dict.fromkeys(command for _, manifest in named for command in manifest.commands)),
        }
    )
    return united, conflicts


def _difference(one: str, other: str, records: Mapping[str, Record]) -> str:
    """In which parts of their specs two cells differ, as far as both are known."""
    if one not in records or other not in records:
        return ""
    specs: list[dict[str, Any]] = [flat(records[key].spec) for key in (one, other)]
    names = [name for name in {**specs[0], **specs[1]} if specs[0].get(name) != specs[1].get(name)]
    return f": they differ in {', '.join(names[:4])}"
