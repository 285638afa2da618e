"""Finding and reading datasets: mirrors first, content as identity, files read without surprises."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kdbench.errors import DataError
from kdbench.hashing import file_digest
from kdbench.locations import Locations
from kdbench.tasks.sources import locate, read
from kdbench.tasks.spec import DataSource

HUB = DataSource(hub="me/d", config="c", revision="abc")
ROWS = pd.DataFrame({"text": ["plain", "NA", "null", '"quoted"', "1", "comma, tab"], "label": [0, 1, 0, 1, 0, 1]})


def _mirror(root: Path, rows: pd.DataFrame = ROWS, name: str = "me/d/c") -> Path:
    path = root / name / "train.parquet"
    path.parent.mkdir(parents=True)
    rows.to_parquet(path)
    return path


def test_a_mirror_comes_before_the_hub_and_is_known_by_its_content(tmp_path: Path) -> None:
    """The first that has the split; the place does not matter, the bytes do."""
    first, second = _mirror(tmp_path / "a"), _mirror(tmp_path / "b", ROWS.head(2))
    found = locate(HUB, "train", Locations(data=(tmp_path / "empty", tmp_path / "a", tmp_path / "b")))
    assert (found.path, found.fingerprint, found.missing) == (first, f"sha256:{file_digest(first)}", None)
    assert locate(HUB, "train", Locations(data=(tmp_path / "b",))).path == second
    assert locate(HUB, "train", Locations(data=(tmp_path / "b",))).fingerprint != found.fingerprint


def test_the_hub_is_known_by_its_pinned_commit() -> None:
    """Missing only when it cannot be reached."""
    online = locate(HUB, "train", Locations())
    assert online.missing is None and online.path is None and online.fingerprint == "hub:me/d@abc/c/train"
    assert locate(HUB, "train", Locations(offline=True)).missing == "me/d/c/train: not in a mirror, and offline"
    silent = locate(HUB, "train", Locations(hub=False))
    assert silent.missing == "me/d/c/train: not in a mirror, and the hub does not answer"


@pytest.mark.parametrize(
    ("source", "split", "reason"),
    [
        (DataSource(mirror="local/x"), "test", "local/x/default/test: not in a mirror (--data DIR)"),
        (DataSource(files={"train": Path("a.csv")}), "dev", "files name no split 'dev', only train"),
        (DataSource(files={"train": Path("/no/a.csv")}), "train", "/no/a.csv: no such file"),
        (DataSource(pypi="leftpad", config="x"), "test", "pypi/leftpad/x/test: no such packaged data"),
        (DataSource(pypi="vaderSentiment", config="x"), "test", "pypi/vaderSentiment/x/test: no such packaged data"),
    ],
)
def test_what_is_missing_says_why(source: DataSource, split: str, reason: str) -> None:
    """And reading it raises the same words."""
    located = locate(source, split, Locations())
    assert located.missing == reason
    with pytest.raises(DataError) as caught:
        read(located, Locations())
    assert str(caught.value) == reason


def test_packaged_data_is_known_before_it_is_fetched(tmp_path: Path) -> None:
    """By the checksum of its archive: planning needs no download; offline it must be there."""
    source = DataSource(pypi="vaderSentiment", config="movie")
    online = locate(source, "train", Locations(cache=tmp_path))
    offline = locate(source, "train", Locations(cache=tmp_path, offline=True))
    assert online.missing is None and online.fingerprint == offline.fingerprint
    assert offline.missing == "pypi/vaderSentiment/movie/train: not fetched yet, and offline"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_texts_are_read_as_they_are(tmp_path: Path, suffix: str) -> None:
    """ "NA" and "null" are words, "1" is a text, quotes stay where the format does not use them."""
    path = tmp_path / f"train.{suffix}"
    if suffix == "csv":
        ROWS.to_csv(path, index=False)
    elif suffix == "tsv":
        path.write_text("text\tlabel\n" + "".join(f"{t}\t{y}\n" for t, y in ROWS.itertuples(index=False)))
    elif suffix == "jsonl":
        ROWS.to_json(path, orient="records", lines=True)
    else:
        ROWS.to_parquet(path)
    table = read(locate(DataSource(files={"train": path}), "train", Locations()), Locations())
    assert [str(text) for text in table["text"]] == ROWS["text"].tolist()
    assert table["label"].tolist() == ROWS["label"].tolist()


def test_unknown_and_damaged_files(tmp_path: Path) -> None:
    """One line with the path."""
    for name, content, message in (
        ("a.pickle", b"x", "unknown file type; parquet, csv, tsv and jsonl are read"),
        ("a.parquet", b"not parquet", "cannot be read: "),
        ("a.jsonl", b"{broken", "cannot be read: "),
        ("a.csv", b"", "cannot be read: "),
        ("b.csv", b'text,label\n"open quote,1\n', "cannot be read: "),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: {message}"):
            read(locate(DataSource(files={"train": path}), "train", Locations()), Locations())
