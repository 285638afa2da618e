"""Work of attacks that does not depend on the victim: done once, shared by all victims, kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kdbench.hashing import digest

_PARTS = 16  # more files than this are made one
_SCHEMA = pa.schema([("key", pa.binary(16)), ("value", pa.binary())])


class Memo:
    """Tables of results, each under the settings that they depend on.

    On disk a table is a folder of files that are written once and never changed, so any number of processes
    may read and add at the same time. A result that is lost, or that two processes find at once, costs time only:
    whatever is kept here must be a function of its settings and its key.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Nothing is read yet; without a folder nothing outlives this object."""
        self.folder = folder
        self._tables: dict[str, _Table] = {}

    @staticmethod
    def key(*texts: str) -> bytes:
        """16 bytes that stand for these texts, in this order."""
        content = hashlib.blake2b(digest_size=16)
        for text in texts:
            encoded = text.encode("utf-8", "surrogatepass")
            content.update(len(encoded).to_bytes(8, "little") + encoded)
        return content.digest()

    def table(self, settings: dict[str, Any]) -> MutableMapping[bytes, bytes]:
        """What is known under these settings, by :meth:`key`; what is put into it is kept by :meth:`save`."""
        name = digest(settings)[:32]
        if name not in self._tables:
            self._tables[name] = _Table(_read(self.folder / name) if self.folder else ())
        return self._tables[name]

    def save(self) -> None:
        """Publish what is new since the last time.

        A disk that is full or read-only loses what was to be saved, and nothing else.
        """
        for name, table in self._tables.items():
            if self.folder and table.new:
                with contextlib.suppress(OSError):
                    _publish(self.folder / name, {key: table[key] for key in table.new})
            table.new.clear()


class _Table(MutableMapping[bytes, bytes]):
    """A dictionary that remembers which of its keys are new."""

    def __init__(self, known: Iterable[tuple[bytes, bytes]]) -> None:
        self.values_by_key = dict(known)
        self.new: set[bytes] = set()

    def __getitem__(self, key: bytes) -> bytes:
        return self.values_by_key[key]

    def __setitem__(self, key: bytes, value: bytes) -> None:
        if key not in self.values_by_key:
            self.new.add(key)
            self.values_by_key[key] = value

    def __delitem__(self, key: bytes) -> None:
        raise TypeError("what is known is not forgotten")

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.values_by_key)

    def __len__(self) -> int:
        return len(self.values_by_key)


def _read(folder: Path) -> Iterator[tuple[bytes, bytes]]:
    for part in sorted(folder.glob("*.parquet")):
        with contextlib.suppress(OSError):  # a file may vanish when others are made one
            content = part.read_bytes()
            if _name(content) == part.name:  # a damaged one is as good as none
                columns = pq.read_table(pa.BufferReader(content), schema=_SCHEMA)
                yield from zip(columns["key"].to_pylist(), columns["value"].to_pylist(), strict=True)


def _publish(folder: Path, values: dict[bytes, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    parts = sorted(folder.glob("*.parquet"))
    if len(parts) < _PARTS:
        parts = []
    else:
        values = dict(_read(folder)) | values
    ordered = sorted(values.items())
    scratch = folder / f".{os.getpid()}-{secrets.token_hex(4)}"
    keys, contents = zip(*ordered, strict=True)
    try:
        pq.write_table(
            pa.table([pa.array(keys, pa.binary(16)), pa.array(contents, pa.binary())], schema=_SCHEMA), scratch
        )
        target = folder / _name(scratch.read_bytes())
        scratch.rename(target)
    finally:
        scratch.unlink(missing_ok=True)
    for part in parts:
        if part != target:
            part.unlink(missing_ok=True)


def _name(content: bytes) -> str:
    """Of a file, by its content."""
    return f"{hashlib.sha256(content).hexdigest()[:16]}.parquet"
