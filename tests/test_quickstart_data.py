"""The packaged corpus: real texts from the package index, checked and split by content."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kdbench.errors import DataError
from kdbench.locations import Locations
from kdbench.tasks.packaged.snippets import CLEAR, SOURCE
from kdbench.tasks.sources import locate, read
from kdbench.tasks.spec import TASKS, DataSource

EXPECTED = {"train": 8002, "test": 2068}
SHIFTED = {"amazon": 2977, "nyt": 2930, "tweets": 3432}


def load(config: str, split: str, locations: Locations) -> pd.DataFrame:
    source = DataSource(pypi="vaderSentiment", config=config)
    return read(locate(source, split, locations), locations)


def test_every_set_has_its_rows_and_both_classes() -> None:
    here = Locations.from_environment()
    tables = {split: load("movie", split, here) for split in EXPECTED}
    assert {split: len(table) for split, table in tables.items()} == EXPECTED
    shifted = {name: load(name, "test", here) for name in SHIFTED}
    assert {name: len(table) for name, table in shifted.items()} == SHIFTED
    for table in (*tables.values(), *shifted.values()):
        assert 0.3 < table["label"].mean() < 0.7
        assert (table["label"] == (table["score"] > 0)).all()
        assert table["score"].abs().min() >= CLEAR
        assert not table["text"].str.contains("&amp;|&quot;|\t", regex=True).any()
    assert not set(tables["train"]["text"]) & set(tables["test"]["text"])


def test_labels_mean_what_they_say() -> None:
    train = load("movie", "train", Locations.from_environment())
    with_masterpiece = train[train["text"].str.contains("masterpiece", case=False)]
    with_worst = train[train["text"].str.contains("the worst", case=False)]
    assert with_masterpiece["label"].mean() > 0.75
    assert with_worst["label"].mean() < 0.25


def test_offline_without_the_data_says_so(tmp_path: Path) -> None:
    task = TASKS.get("movie-snippets")
    located = locate(task.source, "train", Locations(cache=tmp_path, offline=True))
    assert located.missing is not None
    assert "not fetched yet" in located.missing


def test_a_forged_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = tmp_path / "index"
    index.mkdir()
    (index / "vaderSentiment-0.5-py3-none-any.whl").write_bytes(forged_wheel(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(DataError, match="not the expected file"):
        SOURCE.download(tmp_path)


def forged_wheel(folder: Path) -> bytes:
    """A wheel of that name with something else inside."""
    import zipfile

    path = folder / "wheel.zip"
    with zipfile.ZipFile(path, "w") as wheel:
        name = "vaderSentiment-0.5.dist-info"
        wheel.writestr(f"{name}/METADATA", "Metadata-Version: 2.1\nName: vaderSentiment\nVersion: 0.5\n")
        wheel.writestr(f"{name}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}/RECORD", "")
    content = path.read_bytes()
    path.unlink()
    return content
