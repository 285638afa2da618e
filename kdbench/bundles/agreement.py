"""What methods must have in common to be compared: data, examples, attacks, budgets and seeds."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from kdbench.bundles.findings import Finding, outcomes_file, record_file
from kdbench.hashing import canonical_json, digest
from kdbench.manifest import Manifest
from kdbench.record import Record
from kdbench.rows import TEACHER, Row

_MEANINGS = {
    "dataset.fingerprint": "measured on other data",
    "source.fingerprint": "measured on other corrupted data",
    "attack": "attacked with other settings",
    "query_budget": "attacked with another query budget",
    "examples": "attacked on another number of examples",
    "seed": "attacked on another sample, with another seed",
    "limit": "measured on another number of examples",
    "library": "corrupted by another version of the library",
    "task.data.fingerprint": "trained on other data",
    "budget": "trained with another budget",
    "model": "trained from another model",
}
"""Part of a spec -> what it means that methods differ there."""


def check_agreement(manifest: Manifest, records: Mapping[str, Record], samples: Mapping[str, str]) -> list[Finding]:
    """Compare rows of different methods, seeds and pairs; what most of them have is taken for right.

    Args:
        manifest: the rows.
        records: by key; rows without are left out.
        samples: key of an evaluation -> digest of its examples' ids and labels.
    """
    findings: list[Finding] = []
    for rows in _groups(manifest, records, lambda row: (row.task, row.evaluation, row.dataset), evaluations=True):
        findings += _check_set(rows, records, samples)
    for rows in _groups(manifest, records, lambda row: (row.task,), evaluations=False):
        parts = {row.key: {"task": records[row.key].spec["task"]} for row in rows}
        findings += _compare_specs(rows, parts, "methods cannot be compared")
    for rows in _groups(manifest, records, lambda row: (row.pair, row.task), evaluations=False):
        findings += _check_budget([row for row in rows if row.method != TEACHER], records)
    for rows in _groups(manifest, records, lambda row: (row.pair, row.task, row.evaluation), evaluations=True):
        sized = [row for row in rows if row.method != TEACHER and row.evaluation == "efficiency"]
        for row in _outliers(sized, {row.key: digest(records[row.key].metrics) for row in sized}):
            what = "size and FLOPs are not those of the pair's other students: it is another model"
            findings.append(Finding(what, row.describe(), record_file(row.key)))
    return findings


def _check_set(rows: Sequence[Row], records: Mapping[str, Record], samples: Mapping[str, str]) -> list[Finding]:
    """One set, measured in one way on the same examples."""
    specs = {row.key: records[row.key].spec for row in rows}
    parts = {key: {name: part for name, part in spec.items() if name != "upstream"} for key, spec in specs.items()}
    findings = _compare_specs(rows, parts, "methods cannot be compared")
    known = [row for row in rows if row.key in samples]
    for row in _outliers(known, {row.key: samples[row.key] for row in known}):
        what = "its examples or their labels are not those of the other methods: they cannot be compared"
        findings.append(Finding(what, row.describe(), outcomes_file(row.key)))
    return findings


def _check_budget(students: Sequence[Row], records: Mapping[str, Record]) -> list[Finding]:
    """Students of one pair and task: the same start, settings and, unless each has its paper's, number of updates."""
    specs: dict[str, dict[str, Any]] = {row.key: records[row.key].spec for row in students}
    parts = {key: {name: spec[name] for name in ("budget", "model")} for key, spec in specs.items()}
    findings = _compare_specs(students, parts, "the comparison is not matched")
    matched = [row for row in students if not specs[row.key]["budget"]["paper"]]
    updates = {row.key: records[row.key].cost.get("student_updates") for row in matched}
    for row in _outliers(matched, updates):
        usual = _most_common(list(updates.values()))
        what, name = "other student updates than the other methods: the budget is not matched", "student_updates"
        findings.append(Finding(what, row.describe(), record_file(row.key), name, updates[row.key], usual))
    return findings


def check_coverage(manifest: Manifest) -> list[Finding]:
    """Name the seeds that a method lacks where another method of the same pair and task has them."""
    seeds: dict[tuple[str, ...], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    asked: dict[tuple[str, str], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for row in manifest.rows:
        if row.method != TEACHER:
            seeds[row.pair, row.task, row.evaluation, row.dataset][row.method].add(row.seed)
            asked[row.pair, row.task][row.method].add(row.seed)
    findings = []
    for (pair, task, evaluation, dataset), methods in seeds.items():
        everything = set().union(*methods.values())
        for method in asked[pair, task]:
            for seed in sorted(everything - methods.get(method, set())):
                place = {"pair": pair, "task": task, "evaluation": evaluation, "dataset": dataset}
                row = Row(key="", method=method, seed=seed, **place)
                what = "is missing, while another method has this seed: means over seeds cannot be compared"
                findings.append(Finding(what, row.describe()))
    return findings


def _groups(manifest: Manifest, records: Mapping[str, Record], place: Any, *, evaluations: bool) -> Iterator[list[Row]]:
    """Finished rows by place, each cell once."""
    groups: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
    for row in manifest.rows:
        if row.key in records and bool(row.evaluation) == evaluations:
            groups[place(row)].setdefault(row.key, row)
    for group in groups.values():
        yield list(group.values())


def _compare_specs(rows: Sequence[Row], parts: Mapping[str, Mapping[str, Any]], meaning: str) -> list[Finding]:
    """Name every part of a spec in which a row is not like most."""
    findings = []
    leaves = {row.key: flat(parts[row.key]) for row in rows}
    for name in dict.fromkeys(name for values in leaves.values() for name in values):
        values = {key: canonical_json(value.get(name)) for key, value in leaves.items()}
        usual = json.loads(_most_common(list(values.values())))
        for row in _outliers(rows, values):
            what = f"{_meaning(name)} than the other methods: {meaning}"
            findings.append(Finding(what, row.describe(), record_file(row.key), name, leaves[row.key].get(name), usual))
    return findings


def _meaning(name: str) -> str:
    found = next((text for part, text in _MEANINGS.items() if name == part or name.startswith(f"{part}.")), "")
    return found or f"has another {name}"


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dots in its names."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= flat(item, f"{prefix}.{key}" if prefix else str(key))
    return found


def _outliers(rows: Sequence[Row], values: Mapping[str, Hashable]) -> list[Row]:
    """Rows whose value is not that of most."""
    usual = _most_common([values[row.key] for row in rows]) if rows else None
    return [row for row in rows if values[row.key] != usual]


def _most_common(values: Sequence[Hashable]) -> Any:
    return Counter(values).most_common(1)[0][0]
