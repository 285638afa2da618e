"""What a bundle holds."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from kdbench.bundles.export import export
from kdbench.errors import StoreError
from kdbench.rows import Skipped
from kdbench.store import Store
from tests.bundles.tiny_run import only_manifest


def _names(path: Path) -> set[str]:
    with tarfile.open(path) as archive:
        return set(archive.getnames())


def test_holds_every_cell_but_no_weights(store: Store, bundle: Path) -> None:
    """Among them the assistant, which no row of the manifest names."""
    names = _names(bundle)
    cells = {path.parent.name for path in store.root.glob("cells/*/*/record.json")}
    assert {name.split("/")[2] for name in names if name.endswith("/record.json")} == cells
    assert len(cells) > len({row.key for row in only_manifest(store).rows})
    kinds = {Path(name).name for name in names if name.startswith("cells/")}
    assert kinds == {"record.json", "run.json", "examples.parquet", "log.jsonl", "trajectory.json"}
    assert not [name for name in names if "model" in name or "checkpoint" in name]


def test_same_cells_give_the_same_bytes(store: Store, bundle: Path, tmp_path: Path) -> None:
    """Also from a copy of the store in another place."""
    copy = Store(tmp_path / "copy")
    shutil.copytree(store.root, copy.root)
    export(copy, only_manifest(copy), tmp_path / "again.tar.xz")
    assert (tmp_path / "again.tar.xz").read_bytes() == bundle.read_bytes()


def test_table_of_contents(bundle: Path) -> None:
    with tarfile.open(bundle) as archive:
        stream = archive.extractfile("bundle.json")
        assert stream is not None
        info = json.load(stream)
    assert (info["suite"], info["budget"], info["methods"], info["seeds"], info["unfinished"]) == (
        "tiny", "quick", ["finetune", "kd", "takd"], [1, 2], 0,
    )  # fmt: skip
    assert set(info["members"]) == _names(bundle) - {"bundle.json"}


def test_no_folder_of_this_machine(store: Store, tmp_path: Path) -> None:
    """Neither in commands nor in reasons for what was left out."""
    reason = f"{tmp_path}/mine.csv: no such file"
    skipped = [Skipped(task="sentences", evaluation="ood", dataset="mine", reason=reason)]
    path = tmp_path / "b.tar.xz"
    export(store, only_manifest(store).model_copy(update={"skipped": skipped}), path)
    with tarfile.open(path) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            assert stream is not None
            content = stream.read()
            assert str(tmp_path.parent).encode() not in content and str(store.root).encode() not in content, member.name


def test_unfinished_suite_is_flagged(store: Store, tmp_path: Path) -> None:
    copy = Store(tmp_path / "copy")
    shutil.copytree(store.root, copy.root)
    row = next(row for row in only_manifest(copy).rows if row.evaluation == "attack" and row.method == "kd")
    shutil.rmtree(copy.cell(row.key))
    info = export(copy, only_manifest(copy), tmp_path / "b.tar.xz")
    assert info.unfinished == 1 and not [name for name in info.members if row.key in name]


def test_damaged_cell_is_not_exported(store: Store, tmp_path: Path) -> None:
    copy = Store(tmp_path / "copy")
    shutil.copytree(store.root, copy.root)
    row = next(row for row in only_manifest(copy).rows if row.evaluation == "in_domain")
    path = copy.cell(row.key) / "examples.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match=r"examples.parquet is not the file .* run the suite again"):
        export(copy, only_manifest(copy), tmp_path / "b.tar.xz")
    assert not (tmp_path / "b.tar.xz").exists()
