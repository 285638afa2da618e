"""Bundles as one file: an archive that is the same bytes for the same contents, and that unpacks safely."""

from __future__ import annotations

import io
import lzma
import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from kdbench.bundles.layout import is_member
from kdbench.errors import StoreError

MOST_BYTES = 2 * 2**30
"""Unpacked size of an archive; a hundred times that of the largest packaged suite."""

_MOST_MEMBERS = 500_000
_DECODER_MEMORY = 128 * 2**20
_CHUNK = 2**20


def write_archive(path: Path, members: Mapping[str, bytes | Path]) -> None:
    """Write a ``.tar.xz`` with sorted names and without times, owners or modes; the whole file or nothing.

    Args:
        path: of the archive.
        members: name -> content, or the file that holds it.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with lzma.open(scratch, "wb", preset=6) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
            for name in sorted(members):
                source = members[name]
                content = source if isinstance(source, bytes) else source.read_bytes()
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def unpack(path: Path, folder: Path, most_bytes: int = MOST_BYTES) -> None:
    """Unpack a bundle into an empty folder.

    Only plain files with names that a bundle has are written: no link, no device, nothing outside of ``folder``.

    Raises:
        StoreError: the archive is damaged, too large, or holds anything else.
    """
    try:
        with path.open("rb") as packed:
            stream = _Bounded(packed, most_bytes)
            with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
                for count, entry in enumerate(archive):
                    if count == _MOST_MEMBERS:
                        raise StoreError(f"{path}: holds more than {_MOST_MEMBERS:,} members: no bundle does")
                    _unpack_member(path, archive, entry, folder)
            stream.finish()
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise StoreError(f"{path}: is damaged, or is no .tar.xz ({error}): fetch or export it again") from error
    except _TooLargeError as error:
        raise StoreError(f"{path}: unpacks to more than {most_bytes:,} bytes: no bundle does") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be unpacked: {error.strerror or error}") from error


def _unpack_member(path: Path, archive: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    name = entry.name.removeprefix("./")
    if entry.isdir():
        return
    if not entry.isreg():
        raise StoreError(f"{path}: {name}: is a link or a device; a bundle holds plain files only")
    if not is_member(name):
        raise StoreError(f"{path}: {name}: is no name of a bundle's member")
    target = folder / name
    if target.exists():
        raise StoreError(f"{path}: {name}: stands twice")
    target.parent.mkdir(parents=True, exist_ok=True)
    content = archive.extractfile(entry)
    assert content is not None
    with content, target.open("xb") as out:
        shutil.copyfileobj(content, out, _CHUNK)


class _TooLargeError(Exception):
    """More came out of an archive than is allowed."""


class _Bounded:
    """Decompresses xz up to a size, with bounded memory; reads like a file."""

    def __init__(self, packed: BinaryIO, most_bytes: int) -> None:
        self._packed = packed
        self._left = most_bytes
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_DECODER_MEMORY)

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; nothing at the end."""
        parts = []
        while size > 0 and (part := self._decode(min(size, _CHUNK))):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def finish(self) -> None:
        """Read what follows the last member, so that a truncated end is noticed."""
        while self._decode(_CHUNK):
            pass

    def _decode(self, size: int) -> bytes:
        while not self._decoder.eof:
            needed = self._decoder.needs_input
            packed = self._packed.read(_CHUNK) if needed else b""
            if needed and not packed:
                raise EOFError("it ends early")
            part = self._decoder.decompress(packed, size)
            self._left -= len(part)
            if self._left < 0:
                raise _TooLargeError
            if part:
                return part
        return b""
