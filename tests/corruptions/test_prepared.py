"""Reading published sets: the counterparts of the sampled images, and no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kdbench.corruptions.prepared import PreparedSet
from kdbench.errors import DataError
from kdbench.tasks.dataset import ImageExamples
from kdbench.tasks.sources import Located
from kdbench.tasks.spec import Columns, DataSource, ImageFormat
from tests.corruptions.pictures import pictures, write_clean, write_prepared

FORM = ImageFormat(size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
CLASSES = ("cat", "dog", "frog")
LABELS = np.array([2, 0, 1, 1, 0, 0])
CLEAN = ImageExamples([f"id{i}" for i in range(6)], LABELS.astype(np.int64), None, list(pictures(6)))
CORRUPTED = {
    (name, severity): pictures(6) // (2 + index)
    for index, (name, severity) in enumerate([("fog", 1), ("fog", 5), ("snow", 1), ("snow", 5)])
}
HUB = "robro/cifar10-c-parquet"


def prepared(path: Path | None, **source: object) -> PreparedSet:
    where = DataSource.model_validate(source or {"files": {"train": path}})
    return PreparedSet(Located(where, "train", "", path), Columns(image="image"), CLASSES, {})


@pytest.mark.parametrize("case", CORRUPTED)
def test_the_asked_rows_of_one_corruption_and_severity(tmp_path: Path, case: tuple[str, int]) -> None:
    found = prepared(write_prepared(tmp_path / "train.parquet", CORRUPTED, LABELS))
    rows = np.array([1, 3, 4])
    assert (found.pixels(*case, CLEAN, rows, FORM) == CORRUPTED[case][rows]).all()


def test_the_hub_s_own_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hub's client loads, here from a folder named as the hub's repository."""
    import datasets

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write_prepared(tmp_path / HUB / "data/train-00000-of-00001.parquet", CORRUPTED, LABELS)
    found = prepared(None, hub=HUB, config="default")
    assert (found.pixels("snow", 5, CLEAN, np.arange(6), FORM) == CORRUPTED["snow", 5]).all()


def test_names_of_classes_are_translated(tmp_path: Path) -> None:
    names = np.array(CLASSES)[LABELS]
    found = prepared(write_prepared(tmp_path / "train.parquet", CORRUPTED, names))
    assert len(found.pixels("fog", 1, CLEAN, np.arange(6), FORM)) == 6


def test_a_set_of_other_images_is_refused(tmp_path: Path) -> None:
    """In another order, or fewer: then no row is known to be the corrupted version of a clean one."""
    shuffled = prepared(write_prepared(tmp_path / "a.parquet", CORRUPTED, LABELS[::-1].copy()))
    fewer = prepared(write_prepared(tmp_path / "b.parquet", {("fog", 1): pictures(3)}, LABELS[:3]))
    for found in (shuffled, fewer):
        with pytest.raises(DataError, match=r"fog 1: \d images that are not the reported split's 6 in order"):
            found.pixels("fog", 1, CLEAN, np.arange(2), FORM)


def test_what_a_set_lacks(tmp_path: Path) -> None:
    found = prepared(write_prepared(tmp_path / "train.parquet", CORRUPTED, LABELS))
    with pytest.raises(DataError, match=r"train.parquet, frost 1: the set has no such rows"):
        found.pixels("frost", 1, CLEAN, np.arange(2), FORM)
    plain = prepared(write_clean(tmp_path / "clean.parquet", pictures(6), LABELS))
    with pytest.raises(DataError, match="has no column image, corruption_name, corruption_level; it has img, label"):
        plain.pixels("fog", 1, CLEAN, np.arange(2), FORM)
    (tmp_path / "no.parquet").write_text("text")
    with pytest.raises(DataError, match="is not a parquet file"):
        prepared(tmp_path / "no.parquet").pixels("fog", 1, CLEAN, np.arange(2), FORM)
