"""Reading a store whose cells came without weights, and what engines make of such cells."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kdbench.errors import StoreError
from kdbench.store import Store, is_result
from tests.bundles.tiny_run import only_manifest


def _copy(store: Store, folder: Path) -> tuple[Store, str]:
    """A copy of the store, and the key of a training in it."""
    shutil.copytree(store.root, folder)
    row = next(row for row in only_manifest(store).rows if row.method == "kd" and not row.evaluation)
    return Store(folder), row.key


def test_results_without_weights(store: Store, tmp_path: Path) -> None:
    """Enough for readers that say so, not for engines; a missing log is too little for both."""
    copy, key = _copy(store, tmp_path / "copy")
    shutil.rmtree(copy.cell(key) / "model")
    assert copy.record(key) is None
    assert copy.record(key, whole=False) == store.record(key)
    (copy.cell(key) / "log.jsonl").unlink()
    assert copy.record(key, whole=False) is None


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("examples.parquet", True), ("logits.safetensors", True), ("trajectory.json", True), ("models.json", True),
        ("model/model.safetensors", False), ("checkpoints/000/config.json", False), ("adversarial.safetensors", False),
    ],
)  # fmt: skip
def test_what_belongs_to_results(name: str, result: bool) -> None:
    assert is_result(name) == result


def test_adopted_cell_is_the_same_bytes_without_weights(store: Store, tmp_path: Path) -> None:
    key = _copy(store, tmp_path / "copy")[1]
    record = store.record(key)
    assert record is not None
    target = Store(tmp_path / "new")
    target.create()
    target.adopt(record, store.cell(key))
    names = {path.name for path in target.cell(key).iterdir()}
    assert names == {"record.json", "run.json", "log.jsonl"}
    assert all((target.cell(key) / name).read_bytes() == (store.cell(key) / name).read_bytes() for name in names)
    assert not list((target.root / "work").iterdir())


def test_adopting_leaves_a_whole_cell_alone(store: Store, tmp_path: Path) -> None:
    copy, key = _copy(store, tmp_path / "copy")
    record = store.record(key)
    assert record is not None
    copy.adopt(record, store.cell(key))
    assert copy.record(key, thorough=True) == record


def test_whole_cell_takes_the_place_of_its_results(store: Store, tmp_path: Path) -> None:
    """What a run computes after results were merged is kept."""
    copy, key = _copy(store, tmp_path / "copy")
    shutil.rmtree(copy.cell(key) / "model")
    record, info = store.record(key), store.run_info(key)
    assert record is not None and info is not None
    out = copy.output(key)
    shutil.copytree(store.cell(key) / "model", out / "model")
    shutil.copyfile(store.cell(key) / "log.jsonl", out / "log.jsonl")
    copy.publish(record, info)
    assert copy.record(key, thorough=True) == record


def test_cell_that_is_being_computed_is_not_adopted(store: Store, tmp_path: Path) -> None:
    key = _copy(store, tmp_path / "copy")[1]
    record = store.record(key)
    assert record is not None
    target = Store(tmp_path / "new")
    target.create()
    with target.claim(key) as free:
        assert free
        with pytest.raises(StoreError, match="is being computed; wait for the run to end"):
            target.adopt(record, store.cell(key))
