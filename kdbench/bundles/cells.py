"""Reading cells whose maker is not known: every reason not to believe one has words."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from kdbench.bundles.findings import Finding
from kdbench.bundles.layout import INFO_FILE, is_key, is_member
from kdbench.bundles.sources import Source
from kdbench.errors import StoreError
from kdbench.hashing import digest, file_digest
from kdbench.planning import upstream_keys
from kdbench.record import Record
from kdbench.store import Store, is_result


def read_cell(store: Store, key: str) -> Record | None:
    """A cell's record, once its key and the files of its results have been checked; nothing where there is no cell.

    Raises:
        StoreError: what is wrong with it.
    """
    folder = store.cell(key)
    if not folder.is_dir():
        return None
    try:
        record = Record.model_validate_json((folder / "record.json").read_bytes())
    except OSError as error:
        raise StoreError(f"record.json cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise StoreError(f"record.json is no record of this kdbench: {error.errors()[0]['msg']}") from error
    if record.key != key or digest(record.spec) != key:
        raise StoreError("the key is not the digest of the spec: the spec was changed after the run")
    if not all(map(is_key, upstream_keys(record.spec))):
        raise StoreError("the spec is built on cells whose names are no keys")
    for name, entry in record.files.items():
        if is_result(name):
            _check_file(folder, name, entry.sha256)
    return record


def _check_file(folder: Path, name: str, sha256: str) -> None:
    if not is_member(f"cells/{folder.parent.name}/{folder.name}/{name}"):
        raise StoreError(f"the record names a file '{name}', which is no name of a cell's file")
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise StoreError(f"{name} is missing, or is not a plain file")
    if file_digest(path) != sha256:
        raise StoreError(f"{name} is not the file that the record was made with (its SHA-256 differs)")


def check_members(source: Source, asked: set[str]) -> list[Finding]:
    """Compare a bundle's files with its table of contents and its manifest; a store has no such table.

    Args:
        source: a store has nothing to be compared.
        asked: keys of all cells that belong in the bundle.
    """
    info, root = source.info, source.store.root
    if info is None:
        return []
    findings = []
    present = {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir() or path.is_symlink()}
    for name in sorted(present - {INFO_FILE, *info.members}):
        findings.append(Finding("is not listed in bundle.json: it was added after the export", file=name))
    for name, sha256 in info.members.items():
        if name not in present or not is_member(name) or (root / name).is_symlink():
            findings.append(Finding("is listed in bundle.json, but is not there", file=name))
        elif file_digest(root / name) != sha256:
            findings.append(Finding("was changed after the export: its SHA-256 is not that in bundle.json", file=name))
    (manifest,) = source.manifests
    for name in ("suite", "suite_version", "budget", "version"):
        stated, real = getattr(info, name), getattr(manifest, name)
        if stated != real:
            findings.append(Finding("bundle.json and the manifest differ", "", INFO_FILE, name, stated, real))
    extra = {name.split("/")[2] for name in present if is_member(name) and name.startswith("cells/")} - asked
    findings += [Finding("no row of the manifest asks for this cell", file=f"cells/{k[:2]}/{k}") for k in sorted(extra)]
    missing = sum(not source.store.cell(key).is_dir() for key in {row.key for row in manifest.rows})
    if missing != info.unfinished:
        what = "cells were left out after the export, or bundle.json was edited"
        findings.append(Finding(what, "", INFO_FILE, "unfinished", info.unfinished, missing))
    return findings
