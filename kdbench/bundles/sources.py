"""Opening what is verified or merged: an archive, a bundle's directory, or a store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from kdbench.bundles.archive import unpack
from kdbench.bundles.layout import INFO_FILE, BundleInfo, is_key, manifest_name
from kdbench.errors import StoreError
from kdbench.manifest import Manifest
from kdbench.store import Store


@dataclass(frozen=True)
class Source:
    """An open source.

    Attributes:
        name: the path as it was given.
        store: its cells, possibly without weights.
        info: of a bundle.
    """

    name: str
    store: Store
    manifests: list[Manifest]
    info: BundleInfo | None = None


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a bundle or a store for reading; an archive is unpacked into a temporary folder.

    Raises:
        StoreError: it is none of them, is damaged, or was written by a newer kdbench.
    """
    if path.is_dir():
        yield _open_folder(path, path)
    elif path.is_file():
        with tempfile.TemporaryDirectory(prefix="kdbench-bundle-") as scratch:
            unpack(path, Path(scratch))
            if not (Path(scratch) / INFO_FILE).is_file():
                raise StoreError(f"{path}: has no {INFO_FILE}: it is no bundle")
            yield _open_folder(Path(scratch), path)
    else:
        raise StoreError(f"{path}: no such bundle or store")


def _open_folder(folder: Path, path: Path) -> Source:
    plans = sorted((folder / "plans").glob("*.json"))
    if not plans:
        raise StoreError(f"{path}: is neither a bundle nor a store: it has no plans/*.json")
    manifests = [_read_manifest(plan, path) for plan in plans]
    if not (folder / INFO_FILE).is_file():
        return Source(str(path), Store(folder), manifests)
    if len(manifests) > 1:
        raise StoreError(f"{path}: has {len(manifests)} manifests; a bundle is of one suite and budget")
    try:
        info = BundleInfo.model_validate_json((folder / INFO_FILE).read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise StoreError(f"{path}: {INFO_FILE}: {where}: {problem['msg']}; a newer kdbench may have made it") from error
    return Source(str(path), Store(folder), manifests, info)


def _read_manifest(plan: Path, path: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(plan.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise StoreError(f"{path}: plans/{plan.name}: is no manifest of this kdbench: {problem}") from error
    if not manifest_name(manifest):
        raise StoreError(f"{path}: plans/{plan.name}: suite, budget and version must be plain names")
    if not all(is_key(row.key) for row in manifest.rows):
        raise StoreError(f"{path}: plans/{plan.name}: a row's cell is named by something that is no key")
    return manifest
