"""Downloading attack assets into an asset folder. What is downloaded is stored, never executed or unpickled."""

from __future__ import annotations

import http.client
import json
import lzma
import shutil
import tempfile
import urllib.request
import zipfile
import zlib
from pathlib import Path

from kdbench.attacks.asset_sources import Download
from kdbench.errors import DataError
from kdbench.hashing import file_digest
from kdbench.store import write_atomic

RECORD = "downloads.json"
_SECONDS = 60  # without a byte, after which a server is given up
# What zipfile raises on a bad, encrypted (RuntimeError) or unknown (NotImplementedError, a RuntimeError) archive.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)


def download(source: Download, folder: Path) -> None:
    """Bring ``source`` into ``folder``; what is there already stays.

    A file appears under its name only when it is complete, and its SHA-256 is written into ``downloads.json``
    beside it, so that two mirrors can be compared where no checksum is pinned.

    Raises:
        DataError: the server does not deliver, the checksum is another one, an archive is damaged or lacks files,
            or the folder cannot be written.
    """
    if all((folder / name).is_file() for name in source.holds):
        return
    try:
        _bring(source, folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror or error}") from error


def _bring(source: Download, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:
        file = Path(scratch) / "file"
        _get(source.url, file)
        found = file_digest(file)
        if source.sha256 and found != source.sha256:
            raise DataError(f"{source.url}: has SHA-256 {found}, not {source.sha256}: it changed, or was damaged")
        if source.unpack:
            _unpack(source, file, Path(scratch) / "unpacked", folder)
        else:
            (folder / source.holds[0]).parent.mkdir(parents=True, exist_ok=True)
            file.rename(folder / source.holds[0])
    _record(folder / RECORD, source.url, found)


def _get(url: str, file: Path) -> None:
    try:
        # Of the web only: that is all a Download may name.
        with urllib.request.urlopen(url, timeout=_SECONDS) as response, file.open("wb") as stream:  # noqa: S310
            shutil.copyfileobj(response, stream)
            told, received = response.headers["Content-Length"], stream.tell()
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{url}: cannot be downloaded: {error}") from error
    if told not in (None, str(received)):
        raise DataError(f"{url}: cannot be downloaded: the connection ended after {received} of {told} bytes")


def _unpack(source: Download, archive: Path, scratch: Path, folder: Path) -> None:
    """Only the folders that ``holds`` names are taken out of an archive, and of them the files that are not there."""
    try:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(scratch / source.into)  # zipfile itself keeps names inside of this folder
    except _UNREADABLE as error:
        raise DataError(f"{source.url}: cannot be unpacked: {error}") from error
    absent = [name for name in source.holds if not (scratch / name).is_file()]
    if absent:
        raise DataError(f"{source.url}: the archive lacks {', '.join(absent)}")
    parents = {(scratch / name).parent for name in source.holds}
    files = {path.relative_to(scratch) for parent in parents for path in parent.rglob("*") if path.is_file()}
    # Those in `holds` come last: where they are, everything is.
    for name in sorted(files, key=lambda name: (name.as_posix() in source.holds, name)):
        if not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).rename(folder / name)


def _record(record: Path, url: str, found: str) -> None:
    write_atomic(record, json.dumps({**_known(record), url: found}, indent=2, sort_keys=True) + "\n")


def _known(record: Path) -> dict[str, str]:
    """What was recorded before; nothing where the record is damaged."""
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
