"""Writing a bundle: everything a store knows of one suite, but the weights."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePath

from kdbench import __version__
from kdbench.bundles.archive import write_archive
from kdbench.bundles.cells import read_cell
from kdbench.bundles.layout import INFO_FILE, BundleInfo, manifest_name
from kdbench.errors import StoreError
from kdbench.hashing import canonical_json, file_digest
from kdbench.manifest import Manifest
from kdbench.planning import upstream_keys
from kdbench.record import Record
from kdbench.reports.commands import portable_command
from kdbench.rows import TEACHER
from kdbench.store import Store, is_result

SUFFIX = ".tar.xz"


def export(store: Store, manifest: Manifest, path: Path) -> BundleInfo:
    """Write what has finished of a manifest as one archive; the same cells give the same bytes.

    Args:
        store: where the cells are.
        manifest: what was asked for; commands and reasons in it lose this machine's folders.
        path: of the archive, ``….tar.xz``.

    Returns:
        What is in it; ``unfinished`` is 0 for a whole suite.

    Raises:
        StoreError: a cell is damaged, nothing has finished, or the file cannot be written.
    """
    if not path.name.endswith(SUFFIX):
        raise StoreError(f"{path}: the name of a bundle ends with {SUFFIX}")
    records = _records(store, manifest)
    if not records:
        raise StoreError(f"{store.root}: no cell of suite {manifest.suite} has finished yet; run it first")
    name = manifest_name(manifest)
    if not name:
        raise StoreError(f"suite {manifest.suite}, budget {manifest.budget}: these make no file name")
    files: dict[str, Path] = {}
    for key, record in records.items():
        folder = store.cell(key)
        names = ["record.json", *filter(is_result, record.files)]
        if (folder / "run.json").is_file():
            names.append("run.json")
        files |= {f"cells/{key[:2]}/{key}/{file}": folder / file for file in names}
    plan = canonical_json(_portable(manifest).model_dump(mode="json")).encode()
    members = {member: file_digest(file) for member, file in files.items()}
    members[name] = hashlib.sha256(plan).hexdigest()
    asked = {row.key for row in manifest.rows}
    students = [row for row in manifest.rows if row.method != TEACHER]
    info = BundleInfo(
        kdbench=__version__,
        suite=manifest.suite,
        suite_version=manifest.suite_version,
        budget=manifest.budget,
        version=manifest.version,
        commands=tuple(dict.fromkeys(map(portable_command, manifest.commands))),
        pairs=tuple(dict.fromkeys(row.pair for row in manifest.rows)),
        tasks=tuple(dict.fromkeys(row.task for row in manifest.rows)),
        methods=tuple(dict.fromkeys(row.method for row in students)),
        seeds=tuple(sorted({row.seed for row in students})),
        cells=len(records),
        unfinished=len(asked - records.keys()),
        members=members,
    )
    table = canonical_json(info.model_dump(mode="json")).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_archive(path, {INFO_FILE: table, name: plan, **files})
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
    return info


def _records(store: Store, manifest: Manifest) -> dict[str, Record]:
    """Finished cells of a manifest, and those they are built on: assistants have no place in the tables."""
    found: dict[str, Record] = {}
    waiting = [row.key for row in manifest.rows]
    while waiting:
        key = waiting.pop()
        if key in found:
            continue
        try:
            record = read_cell(store, key)
        except StoreError as error:
            raise StoreError(f"{store.cell(key)}: {error}; run the suite again to make the cell anew") from error
        if record:
            found[key] = record
            waiting += upstream_keys(record.spec)
    return found


def _portable(manifest: Manifest) -> Manifest:
    skipped = [item.model_copy(update={"reason": _without_folders(item.reason)}) for item in manifest.skipped]
    commands = list(dict.fromkeys(map(portable_command, manifest.commands)))
    return manifest.model_copy(update={"skipped": skipped, "commands": commands, "order": 1})


def _without_folders(text: str) -> str:
    """A sentence in which absolute paths are told by their last part."""
    return " ".join(_last(word) for word in text.split(" "))


def _last(word: str) -> str:
    return PurePath(word).name if word.startswith("/") else word
