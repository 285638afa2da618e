"""The sentiment snippets of Hutto & Gilbert (ICWSM 2014).

The source archive of ``vaderSentiment`` 0.5 (MIT) holds four sets of short texts, each with the mean
of at least ten people's ratings in [-4, 4]: movie reviews, Amazon reviews, New York Times editorials
and tweets. They get a binary label where the rating is clear.
"""

from __future__ import annotations

import html
import io
import tarfile
import zipfile
from pathlib import Path

import pandas as pd

from kdbench.errors import DataError
from kdbench.hashing import unit_hash
from kdbench.tasks.packaged.base import PackagedSource, Tables

CLEAR = 0.5
"""Texts rated closer to neutral than this have no label."""
_TEST_SHARE = 0.2  # of the movie snippets, by content hash
_FILES = {
    "movie": "movieReviewSnippets",
    "amazon": "amazonReviewSnippets",
    "nyt": "nytEditorialSnippets",
    "tweets": "tweets",
}


def _parse(archive: Path) -> Tables:
    for name, table in _read(archive).items():
        if name != "movie":
            yield name, "test", table
            continue
        in_test = pd.Series([unit_hash("movie-test", [text]) < _TEST_SHARE for text in table["text"]], table.index)
        yield name, "train", table[~in_test]
        yield name, "test", table[in_test]


def _read(archive: Path) -> dict[str, pd.DataFrame]:
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
            table = table[(table["score"].abs() >= CLEAR) & (table["text"] != "")]
            tables[name] = table.assign(label=(table["score"] > 0).astype("int64"))
    return tables


def _clean(text: str) -> str:
    """Single spaces, and characters instead of HTML entities, of which some are escaped twice."""
    return " ".join(html.unescape(html.unescape(text)).split())


SOURCE = PackagedSource(
    distribution="vaderSentiment",
    version="0.5",
    sha256="5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
    configs=tuple(_FILES),
    parse=_parse,
)
