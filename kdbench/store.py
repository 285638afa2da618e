"""The store: a directory of finished cells, addressed by content, published by one rename.

Layout::

    cells/<kk>/<key>/   record.json, run.json and the cell's files: complete, or not there
    specs/<key>.json    what is to be run, and where its local files were when it was planned
    work/<key>/         in flight: lock, training checkpoint, files not yet published
    failed/<key>.json   the last failure of a cell that has not finished since
    plans/              what was asked for: one manifest per suite version and budget
    plugins/<sha>.py    plugin files that cells were made with
    cache/              shared work (teacher logits, generators); may be deleted at any time
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kdbench.artifacts import ArtifactCache
from kdbench.errors import StoreError
from kdbench.hashing import canonical_json, digest, file_digest
from kdbench.locks import try_locked
from kdbench.record import FileEntry, Record, RunInfo


@dataclass(frozen=True)
class Failure:
    """Why a cell did not finish."""

    key: str
    error: str
    message: str
    traceback: str


class Store:
    """A directory of cells. Creating the object touches nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = ArtifactCache(root / "cache")

    def create(self) -> None:
        """Make the directories.

        Raises:
            StoreError: the place cannot be written.
        """
        try:
            for name in ("cells", "specs", "work", "failed", "plans", "plugins", "cache"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.root}: cannot be used as a store: {error.strerror}") from error

    def cell(self, key: str) -> Path:
        """The folder of a finished cell, whether it exists or not."""
        return self.root / "cells" / key[:2] / key

    def work(self, key: str) -> Path:
        """The folder of a cell in flight."""
        return self.root / "work" / key

    # Reading

    def record(self, key: str, *, whole: bool = True, thorough: bool = False) -> Record | None:
        """The record of a finished cell; nothing when it is missing, truncated or not whole.

        Args:
            whole: demand every file. Readers of results are content without what :func:`is_result` leaves out.
            thorough: also compare every file's SHA-256, not only its size.
        """
        folder = self.cell(key)
        try:
            record = Record.model_validate_json((folder / "record.json").read_bytes())
        except (OSError, ValidationError):
            return None
        if record.key != key or digest(record.spec) != key:
            return None
        for name, entry in record.files.items():
            if not (whole or is_result(name)):
                continue
            path = folder / name
            if not path.is_file() or path.stat().st_size != entry.size:
                return None
            if thorough and file_digest(path) != entry.sha256:
                return None
        return record

    def run_info(self, key: str) -> RunInfo | None:
        """How a finished cell was run, if that is still known."""
        try:
            return RunInfo.model_validate_json((self.cell(key) / "run.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def failure(self, key: str) -> Failure | None:
        """The last failure of a cell."""
        try:
            return Failure(**json.loads((self.root / "failed" / f"{key}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def spec(self, key: str) -> tuple[dict[str, Any], dict[str, str]]:
        """A planned cell's spec, and fingerprint -> local path of the files it named.

        Raises:
            StoreError: it is missing or does not belong to the key.
        """
        path = self.root / "specs" / f"{key}.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: the cell's spec cannot be read: {error}") from error
        if digest(content["spec"]) != key:
            raise StoreError(f"{path}: the spec was changed after it was planned")
        return content["spec"], content["paths"]

    # Writing

    def put_spec(self, key: str, spec: dict[str, Any], paths: dict[str, str]) -> None:
        """Write down what a cell is, for workers to read."""
        write_atomic(self.root / "specs" / f"{key}.json", canonical_json({"paths": paths, "spec": spec}))

    def put_plugin(self, path: Path) -> None:
        """Keep a copy of a plugin file under its digest."""
        target = self.root / "plugins" / f"{file_digest(path)}.py"
        if not target.exists():
            write_atomic(target, path.read_bytes())

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Claim a cell for this process; yields whether nobody else is working on it."""
        self.work(key).mkdir(parents=True, exist_ok=True)
        with try_locked(self.work(key) / "lock") as free:
            yield free

    def output(self, key: str) -> Path:
        """An empty folder for the files of a cell that is about to be computed."""
        folder = self.work(key) / "out"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def publish(self, record: Record, info: RunInfo) -> None:
        """Make a cell finished: its output folder becomes its cell, by one rename.

        What else lies in the work folder is deleted. If another process published the same cell
        first, its files stay.
        """
        out = self.work(record.key) / "out"
        files = {
            str(path.relative_to(out)): FileEntry(size=path.stat().st_size, sha256=file_digest(path))
            for path in sorted(out.rglob("*"))
            if path.is_file()
        }
        complete = record.model_copy(update={"files": files})
        write_atomic(out / "run.json", info.model_dump_json())
        write_atomic(out / "record.json", canonical_json(complete.model_dump(mode="json")))
        self._publish(record.key, whole=True)

    def adopt(self, record: Record, folder: Path) -> None:
        """Publish the results of a cell that another store has, byte for byte.

        Args:
            record: what ``folder`` holds; its files' names must stay inside the folder.
            folder: the finished cell; weights are not copied.

        Raises:
            StoreError: another process works on the cell.
        """
        with self.claim(record.key) as free:
            if not free:
                raise StoreError(f"{self.root}: cell {record.key[:12]} is being computed; wait for the run to end")
            out = self.output(record.key)
            for name in ("record.json", "run.json", *filter(is_result, record.files)):
                if (folder / name).is_file():
                    (out / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(folder / name, out / name)
            self._publish(record.key, whole=False)

    def _publish(self, key: str, *, whole: bool) -> None:
        """Rename a complete output folder to its cell, and delete what else is left of the work on it."""
        out, target = self.work(key) / "out", self.cell(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and self.record(key, whole=whole) is None:
            shutil.rmtree(target)  # a damaged cell makes room for a whole one
        try:
            out.rename(target)
        except OSError:
            if self.record(key, whole=whole) is None:
                raise
        (self.root / "failed" / f"{key}.json").unlink(missing_ok=True)
        shutil.rmtree(self.work(key), ignore_errors=True)

    def fail(self, key: str, error: BaseException) -> Failure:
        """Write down why a cell failed; best effort, a full disk may swallow it."""
        text = "".join(traceback.format_exception(error))
        failure = Failure(key, type(error).__name__, str(error) or type(error).__name__, text)
        with contextlib.suppress(OSError):
            shutil.rmtree(self.work(key) / "out", ignore_errors=True)
            write_atomic(self.root / "failed" / f"{key}.json", json.dumps(failure.__dict__))
        return failure


def is_result(name: str) -> bool:
    """Whether a file of a cell belongs to its results; weights and adversarial images are for other cells to build on.

    Args:
        name: of the file, relative to the cell.
    """
    return not (name.startswith(("model/", "checkpoints/")) or name == "adversarial.safetensors")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a whole file or nothing: a reader never sees half of it."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
