"""Downloading attack assets into an asset folder. What is downloaded is stored, never executed or unpickled."""

from __future__ import annotations

import http.client
import json
import shutil
import tempfile
import urllib.request
import zipfile
from pathlib import Path

from kdbench.attacks.asset_sources import Download
from kdbench.errors import DataError
from kdbench.hashing import file_digest

RECORD = "downloads.json"
_SECONDS = 60  # without a byte, after which a server is given up


def download(source: Download, folder: Path) -> None:
    """Bring ``source`` into ``folder``; what is there already stays.

    A file appears under its name only when it is complete, and its SHA-256 is written into ``downloads.json``
    beside it, so that two mirrors can be compared where no checksum is pinned.

    Raises:
        DataError: the server does not deliver, the checksum is another one, or an archive is damaged or lacks files.
    """
    if all((folder / name).is_file() for name in source.holds):
        return
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
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{url}: the server did not deliver it: {error}") from error


def _unpack(source: Download, archive: Path, scratch: Path, folder: Path) -> None:
    """Only the folders that ``holds`` names are taken out of an archive."""
    try:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(scratch / source.into)  # zipfile itself keeps names inside of this folder
    except zipfile.BadZipFile as error:
        raise DataError(f"{source.url}: is no zip archive ({error})") from error
    absent = [name for name in source.holds if not (scratch / name).is_file()]
    if absent:
        raise DataError(f"{source.url}: the archive lacks {', '.join(absent)}")
    for parent in dict.fromkeys(Path(name).parent for name in source.holds):
        (folder / parent).parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / parent, ignore_errors=True)
        (scratch / parent).rename(folder / parent)


def _record(record: Path, url: str, found: str) -> None:
    known = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    record.write_text(json.dumps(known | {url: found}, indent=2, sort_keys=True) + "\n", encoding="utf-8")
