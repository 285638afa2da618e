"""What all packaged data have in common: one archive, one conversion, published whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kdbench.errors import DataError
from kdbench.hashing import file_digest

Tables = Iterable[tuple[str, str, pd.DataFrame]]
"""Configuration, split and rows."""


@dataclass(frozen=True)
class PackagedSource:
    """An archive on the package index and how tables are made of it.

    Attributes:
        sha256: of the archive; empty where the data comes with an installed dependency.
        configs: what it holds, by the name that tasks use.
        parse: from the archive's path to tables.
        builder: raised when the rows that are built change.
    """

    distribution: str
    version: str
    sha256: str
    configs: tuple[str, ...]
    parse: Callable[[Path], Tables]
    builder: int = 1

    @property
    def identity(self) -> str:
        """What the fingerprint of every split begins with."""
        return f"{self.distribution}=={self.version}:{self.sha256[:16]}:v{self.builder}"

    def folder(self, cache: Path) -> Path:
        """Where the parquet files are kept."""
        return cache / "data" / f"{self.distribution}-{self.version}-v{self.builder}"

    def build(self, cache: Path) -> Path:
        """Download, check and convert; a no-op when done before. Safe for several processes at once.

        Returns:
            The folder with ``<config>/<split>.parquet``.

        Raises:
            DataError: the archive cannot be had or is not the expected one.
        """
        target = self.folder(cache)
        if target.is_dir():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            archive = self.download(Path(scratch)) if self.sha256 else Path(scratch)
            built = Path(scratch) / "built"
            for config, split, table in self.parse(archive):
                (built / config).mkdir(parents=True, exist_ok=True)
                table.reset_index(drop=True).to_parquet(built / config / f"{split}.parquet")
            try:
                built.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
                shutil.rmtree(built)  # another process was first
        return target

    def download(self, folder: Path) -> Path:
        """The archive, fetched by pip from whatever index it is set up for, and checked."""
        requirement = f"{self.distribution}=={self.version}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), requirement]
        environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        archives = sorted(folder.glob(f"{self.distribution}*"))
        if result.returncode or not archives:
            last = (result.stderr.strip().splitlines() or ["no output"])[-1]
            raise DataError(f"{requirement}: pip could not download it ({last}); is the package index reachable?")
        if file_digest(archives[0]) != self.sha256:
            raise DataError(f"{requirement}: {archives[0].name} is not the expected file (SHA-256 differs)")
        return archives[0]
