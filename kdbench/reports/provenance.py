"""Where the numbers come from: suite, commands, machines, software, and every set with its fingerprint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from kdbench.manifest import Manifest
from kdbench.reports.commands import portable_command
from kdbench.reports.model import MethodNote, Provenance
from kdbench.reports.table import Leaderboard
from kdbench.rows import TEACHER


def provenance(board: Leaderboard) -> Provenance:
    """From the manifest, the records' specs and what runs noted about their machines."""
    manifest = board.manifest
    return Provenance(
        suite=manifest.suite,
        suite_version=manifest.suite_version,
        budget=manifest.budget,
        version=manifest.version,
        commands=(*dict.fromkeys(map(portable_command, manifest.commands)), f"kdbench report --suite {manifest.suite}"),
        machines=tuple(sorted({f"{run.host}, {run.device}" for run in board.runs.values()})),
        software=tuple(
            sorted({", ".join(f"{k} {v}" for k, v in run.versions.items()) for run in board.runs.values()} - {""})
        ),
        data=tuple(dict.fromkeys(_data(board))),
        cells=len(board.records),
        peak_memory_mb=board.peak_memory_mb,
        attacks=tuple(dict.fromkeys(_attacks(board))),
    )


def _attacks(board: Leaderboard) -> Iterator[tuple[str, str]]:
    for row in board.manifest.rows:
        record = board.records.get(row.key)
        if record is not None and row.evaluation == "attack" and "attack_version" in record.details:
            yield f"{row.dataset} on {row.task}", str(record.details["attack_version"])


def _data(board: Leaderboard) -> list[tuple[str, str, str]]:
    found = []
    for row in board.manifest.rows:
        record = board.records.get(row.key)
        if record is None:
            continue
        part: Any = record.spec.get("dataset") if row.evaluation else record.spec.get("task")
        if not row.evaluation and isinstance(part, Mapping):
            part = part.get("data")
        if not isinstance(part, Mapping) or "fingerprint" not in part:
            continue
        use = f"{row.task}: training" if not row.evaluation else f"{row.task}: {_use(row.evaluation, row.dataset)}"
        found.append((use, f"{_source(part.get('source'))} {part.get('split', '')}".strip(), str(part["fingerprint"])))
    return found


def _use(evaluation: str, dataset: str) -> str:
    return f"ood {dataset}" if evaluation == "ood" else "reported split"


def _source(source: Any) -> str:
    if not isinstance(source, Mapping):
        return str(source or "")
    names = [source[name] for name in ("hub", "mirror", "pypi", "config") if source.get(name)]
    names += [PurePath(path).name for path in (source.get("files") or {}).values()]
    return " ".join(map(str, names))


def method_notes(manifest: Manifest) -> tuple[MethodNote, ...]:
    """Citations, and settings by kind of task where those differ."""
    return tuple(
        MethodNote(name, info.cite, tuple(settings(manifest, name).items()))
        for name, info in manifest.methods.items()
        if name != TEACHER
    )


def settings(manifest: Manifest, method: str) -> dict[str, str]:
    """A method's settings on one line each: kinds of task -> settings; the key is empty where all kinds agree."""
    used = {manifest.kinds[row.task] for row in manifest.rows}
    kinds: dict[str, list[str]] = {}
    for kind, parts in manifest.methods[method].parts.items():
        if kind in used:
            kinds.setdefault(_settings(parts), []).append(kind)
    if len(kinds) == 1:
        return {"": next(iter(kinds))}
    return {", ".join(names): line for line, names in kinds.items()}


def _settings(parts: list[dict[str, Any]]) -> str:
    return "; ".join(
        (f"{part['name']}: " if len(parts) > 1 else "")
        + ", ".join(f"{name} {value}" for name, value in part["config"].items())
        for part in parts
    )
