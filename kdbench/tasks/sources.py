"""Finding datasets: local mirror, then packages, then the hub. Locating needs no torch and no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kdbench.errors import DataError
from kdbench.hashing import file_digest
from kdbench.locations import Locations
from kdbench.tasks.packaged import PACKAGED
from kdbench.tasks.spec import DataSource


@dataclass(frozen=True)
class Located:
    """One split of one dataset, found or not.

    Attributes:
        fingerprint: identifies the content; part of every key that depends on the data.
        path: the local file, where there is one.
        missing: why it cannot be had here, or nothing.
    """

    source: DataSource
    split: str
    fingerprint: str
    path: Path | None = None
    missing: str | None = None


def locate(source: DataSource, split: str, locations: Locations) -> Located:
    """Find one split without loading it.

    A local file is identified by its SHA-256, a hub dataset by its pinned commit, packaged data by
    the checksum of the archive.
    """
    if source.files is not None:
        path = source.files.get(split)
        if path is None:
            known = ", ".join(source.files)
            return Located(source, split, "", missing=f"files name no split '{split}', only {known}")
        if not path.is_file():
            return Located(source, split, "", missing=f"{path}: no such file")
        return Located(source, split, f"sha256:{file_digest(path)}", path)
    for folder in locations.data:
        path = folder / source.folder / f"{split}.parquet"
        if path.is_file():
            return Located(source, split, f"sha256:{file_digest(path)}", path)
    if source.pypi is not None:
        return _locate_packaged(source, split, locations)
    if source.mirror is not None:
        return Located(source, split, "", missing=f"{source.describe(split)}: not in a mirror (--data DIR)")
    fingerprint = f"hub:{source.hub}@{source.revision}/{source.config}/{split}"
    reason = None
    if locations.offline:
        reason = f"{source.describe(split)}: not in a mirror, and offline"
    elif not locations.hub:
        reason = f"{source.describe(split)}: not in a mirror, and the hub does not answer"
    return Located(source, split, fingerprint, missing=reason)


def _locate_packaged(source: DataSource, split: str, locations: Locations) -> Located:
    packaged = PACKAGED.get(str(source.pypi))
    if packaged is None or source.config not in packaged.configs:
        return Located(source, split, "", missing=f"{source.describe(split)}: no such packaged data")
    fingerprint = f"pypi:{packaged.identity}/{source.config}/{split}"
    path = packaged.folder(locations.cache) / source.config / f"{split}.parquet"
    if not path.is_file() and locations.offline and packaged.sha256:
        return Located(source, split, fingerprint, missing=f"{source.describe(split)}: not fetched yet, and offline")
    return Located(source, split, fingerprint, path)


def read(located: Located, locations: Locations) -> pd.DataFrame:
    """Load one split as a table.

    Raises:
        DataError: it cannot be had here, or the file is not readable.
    """
    if located.missing:
        raise DataError(located.missing)
    if located.path is None:
        return _read_hub(located)
    if located.source.pypi and not located.path.is_file():
        PACKAGED[located.source.pypi].build(locations.cache)
    try:
        return _read_file(located.path)
    except (OSError, ValueError) as error:
        raise DataError(f"{located.path}: cannot be read: {error}") from error


def _read_file(path: Path) -> pd.DataFrame:
    match path.suffix.lower():
        case ".parquet":
            return pd.read_parquet(path)
        case ".csv":
            return pd.read_csv(path, keep_default_na=False)
        case ".tsv":
            return pd.read_csv(path, sep="\t", quoting=3, keep_default_na=False)
        case ".jsonl" | ".ndjson":
            return pd.read_json(path, lines=True, convert_dates=False, dtype=False)
    raise DataError(f"{path}: unknown file type; parquet, csv, tsv and jsonl are read")


def _read_hub(located: Located) -> pd.DataFrame:
    import datasets

    source = located.source
    datasets.disable_progress_bars()
    try:
        data = datasets.load_dataset(source.hub, source.config, revision=source.revision, split=located.split)
    except Exception as error:  # datasets raises a dozen unrelated classes here
        where = source.describe(located.split)
        raise DataError(f"{where}: the hub did not deliver it: {type(error).__name__}: {error}") from error
    table: pd.DataFrame = data.to_pandas()
    return table
