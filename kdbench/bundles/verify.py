"""Verification of a source: every cell by itself, then what cells must have in common."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kdbench.bundles.agreement import check_agreement, check_coverage
from kdbench.bundles.cells import check_members, read_cell
from kdbench.bundles.findings import Finding, Verification, record_file
from kdbench.bundles.outcomes import Recomputed
from kdbench.bundles.placement import check_places
from kdbench.bundles.recompute import recompute
from kdbench.bundles.sources import Source
from kdbench.errors import StoreError
from kdbench.manifest import Manifest
from kdbench.planning import upstream_keys
from kdbench.record import Record


@dataclass
class Evidence:
    """The believable cells of a source.

    Attributes:
        records: by key.
        samples: key of an evaluation -> digest of its examples' ids and labels.
        examined: every key that was looked at, whether its cell is there or not.
    """

    records: dict[str, Record] = field(default_factory=dict)
    samples: dict[str, str] = field(default_factory=dict)
    examined: set[str] = field(default_factory=set)


def verify(source: Source, *, coverage: bool = True) -> tuple[Verification, Evidence]:
    """Check everything that can be checked without training or asking a model anything; see docs/bundles.md.

    Args:
        source: all its manifests are checked.
        coverage: a method that lacks a seed is a finding.
    """
    result, evidence = Verification(source.name, source.manifests), Evidence()
    for manifest in source.manifests:
        _examine(source, manifest, result, evidence)
    result.cells = len(evidence.records)
    result.findings += check_members(source, evidence.examined)
    for manifest in source.manifests:
        result.findings += check_manifest(manifest, evidence)
        result.findings += check_coverage(manifest) if coverage else []
    return result, evidence


def check_manifest(manifest: Manifest, evidence: Evidence) -> list[Finding]:
    """What is wrong between the cells of a manifest."""
    try:
        return [
            *check_places(manifest, evidence.records),
            *check_agreement(manifest, evidence.records, evidence.samples),
        ]
    except (KeyError, TypeError, AttributeError) as error:
        return [Finding(f"a spec does not have the form that plans give it ({type(error).__name__}: {error})")]


def _examine(source: Source, manifest: Manifest, result: Verification, evidence: Evidence) -> None:
    """Read and recompute all cells of a manifest, and those they are built on."""
    waiting = [(row.key, row.describe(), row) for row in reversed(manifest.rows)]
    while waiting:
        key, who, row = waiting.pop()
        if key in evidence.examined:
            continue
        evidence.examined.add(key)
        try:
            record = read_cell(source.store, key)
        except StoreError as error:
            result.findings.append(Finding(str(error), who, record_file(key)))
            continue
        if record is None:
            result.unfinished[f"{manifest.suite}, {row.pair}: {row.method}"] += 1
            continue
        evidence.records[key] = record
        _recompute(source, record, who, result, evidence)
        waiting += [(above, f"a cell below {who}", row) for above in upstream_keys(record.spec)]


def _recompute(source: Source, record: Record, who: str, result: Verification, evidence: Evidence) -> None:
    file = record_file(record.key)
    try:
        again = recompute(source.store, record)
    except Exception as error:  # the form of a file whose maker is not known can be wrong in any way
        what = f"cannot be recomputed ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else '?'})"
        result.findings.append(Finding(what, who, file))
        return
    if again.sample:
        evidence.samples[record.key] = again.sample
    result.findings += [Finding(problem, who, file) for problem in again.problems]
    for name, stated, recomputed in _numbers(record, again):
        result.numbers += 1
        if not _equal(stated, recomputed):
            what = "the record does not say what its outcomes say"
            result.findings.append(Finding(what, who, file, name, stated, recomputed))
    if again.flags is not None and again.flags != record.flags:
        what = "flags are not those that the outcomes raise"
        result.findings.append(Finding(what, who, file, "flags", list(record.flags), list(again.flags)))
    for name in record.metrics.keys() - again.metrics.keys():
        if name in again.untold:
            result.not_recomputed[str(record.spec["evaluation"])] += 1
        else:
            result.findings.append(Finding(f"no evaluation of this kind gives a number '{name}'", who, file))


def _numbers(record: Record, again: Recomputed) -> Iterator[tuple[str, Any, Any]]:
    """Name, stated and recomputed value of every number that was computed again."""
    for stated, recomputed in (
        (record.metrics, again.metrics),
        (record.details, again.details),
        (record.cost, again.cost),
    ):
        for name, value in recomputed.items():
            yield from _leaves(name, stated.get(name), value)


def _leaves(name: str, stated: Any, recomputed: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(recomputed, dict) and isinstance(stated, dict) and stated.keys() == recomputed.keys():
        for key, value in recomputed.items():
            yield from _leaves(f"{name}.{key}", stated[key], value)
    elif isinstance(recomputed, list) and isinstance(stated, list) and len(stated) == len(recomputed):
        for index, value in enumerate(recomputed):
            yield from _leaves(f"{name}.{index}", stated[index], value)
    else:
        yield name, stated, recomputed


def _equal(stated: Any, recomputed: Any) -> bool:
    """Equal up to the last digits, which differ between versions of libraries."""
    numbers = (int, float)
    if isinstance(stated, numbers) and isinstance(recomputed, numbers):
        return math.isclose(stated, recomputed, rel_tol=1e-9, abs_tol=1e-9)
    return bool(stated == recomputed)
