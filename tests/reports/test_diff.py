"""Two stores side by side."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from kdbench.hashing import canonical_json
from kdbench.reports.diff import diff
from kdbench.reports.table import Leaderboard, build_leaderboard
from tests.conftest import kdbench
from tests.reports.world import World


def world_of(root: Path, **shares: float) -> World:
    world = World(root)
    for method, share in shares.items():
        world.student(method, 1, np.arange(50) < 50 * share)
    return world


def board(world: World, version: str = "v1") -> Leaderboard:
    return build_leaderboard(world.store, world.manifest(version=version))


def test_the_same_twice_is_the_same(tmp_path: Path) -> None:
    boards = [board(world_of(tmp_path / name, kd=0.8, annealing=0.6)) for name in "ab"]
    found = diff(*boards)
    assert (found.same, found.changes, found.unequal_cells, found.warnings) == (2, (), (), ())


def test_changes_coverage_and_versions_are_named(tmp_path: Path) -> None:
    first = board(world_of(tmp_path / "a", kd=0.8, annealing=0.6))
    second = board(world_of(tmp_path / "b", kd=0.7, prokd=0.6), version="v2")
    found = diff(first, second)
    (change,) = found.changes
    assert (change.place.method, change.first, change.second) == ("kd", 0.8, 0.7)
    assert (found.only_first, found.only_second) == ({"annealing (p)": 1}, {"prokd (p)": 1})
    assert found.warnings == ("version v1 against v2",)


def test_one_key_with_two_results_is_an_alarm(tmp_path: Path) -> None:
    """Cells of equal key must be equal: something is not deterministic, or was edited."""
    worlds = [world_of(tmp_path / name, kd=0.8) for name in "ab"]
    path = worlds[1].store.cell(worlds[1].rows[-1].key) / "record.json"
    record = json.loads(path.read_text())
    record["metrics"]["accuracy"] = 0.9
    path.write_text(canonical_json(record))
    assert diff(*map(board, worlds)).unequal_cells == ("kd on t, p, seed 1, in_domain t",)


def test_the_command_prints_and_writes_nothing(tmp_path: Path) -> None:
    for name, share in (("a", 0.8), ("b", 0.7)):
        world_of(tmp_path / name, kd=share).manifest()
    command = ("report", "--suite", "s", "--diff", tmp_path / "a", tmp_path / "b")
    printed = kdbench(*command, cwd=tmp_path).stdout
    assert "0.8" in printed and "0.7" in printed and "0 values are equal, 1 differ" in printed
    found = json.loads(kdbench(*command, "--json", cwd=tmp_path).stdout)
    assert found["changes"][0]["first"] == 0.8 and found["changes"][0]["place"]["method"] == "kd"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_what_is_not_finished_in_one_store_differs(tmp_path: Path) -> None:
    """Also when the seeds that did finish are equal."""
    worlds = [world_of(tmp_path / name, kd=0.8) for name in "ab"]
    worlds[1].student("kd", 2, None)
    (change,) = diff(*map(board, worlds)).changes
    assert (change.first_seeds, change.second_seeds) == (1, 1) and change.first == change.second == 0.8


def test_other_data_is_named(tmp_path: Path) -> None:
    boards = []
    for name in "ab":
        world = World(tmp_path / name)
        spec = {"cell": name, "dataset": {"fingerprint": f"sha256:{name}", "source": {"hub": "h"}, "split": "test"}}
        world.add("kd", 1, "ood", "far", {"accuracy": 0.5}, spec=spec)
        boards.append(board(world))
    assert diff(*boards).warnings == ("other data for t: ood far",)
