"""``kdbench report`` on a study's store: every file is there, linked and the same the second time."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from kdbench.errors import ReportError
from kdbench.reports.build import report_of
from kdbench.reports.markdown import to_markdown
from kdbench.reports.studies import build_study
from kdbench.reports.table import build_leaderboard
from tests.conftest import kdbench
from tests.reports.world import World

STUDY_FILES = {"study.md", "study.csv", "study.svg", "study.png"}
TABLES = {"leaderboard.md", "leaderboard.csv", "results.csv", "leaderboard.tex", "leaderboard.json", "leaderboard.html"}
FILES = TABLES | {"ranks.svg", "ranks.png"}


def search_world(root: Path) -> World:
    world = World(root)
    for index, share in enumerate((0.6, 0.8)):
        world.student(f"checkpoint-kd-{index}", 1, np.arange(100) < 100 * share, selection=share)
        world.settings(f"checkpoint-kd-{index}", {"checkpoint": index}, part="checkpoint-kd")
    world.student("prokd", 1, np.arange(100) < 79)
    return world


def test_a_study_is_written_printed_and_linked(tmp_path: Path) -> None:
    search_world(tmp_path / "store").manifest(suite="mine", study="checkpoint-search")
    report = ("report", "--suite", "mine", "--store", tmp_path / "store")
    printed = kdbench(*report, cwd=tmp_path).stdout
    assert "What a search costs, and what goes without" in printed
    assert "Oracle, an upper bound: of 2 checkpoints" in printed
    folder = tmp_path / "leaderboards" / "mine"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(first) == FILES | STUDY_FILES
    for page in ("leaderboard.md", "study.md"):
        links = re.findall(r"\]\(([^)]+)\)", first[page].decode())
        assert links and set(links) <= set(first)
    kdbench(*report, cwd=tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_formats_are_picked_and_wrong_ones_refused(tmp_path: Path) -> None:
    search_world(tmp_path / "store").manifest(suite="mine")
    report = ("report", "--suite", "mine", "--store", "store", "--format")
    kdbench(*report, "md,latex", cwd=tmp_path)
    assert {path.name for path in (tmp_path / "leaderboards/mine").iterdir()} == {"leaderboard.md", "leaderboard.tex"}
    result = kdbench(*report, "md,pdf", cwd=tmp_path, check=2)
    assert "'pdf' is not one of md, csv, latex, json, html, figures" in result.stderr


def test_an_unknown_reference_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    search_world(tmp_path / "store").manifest(suite="mine")
    result = kdbench("report", "--suite", "mine", "--store", "store", "--reference", "kd", cwd=tmp_path, check=2)
    assert "no method 'kd' to compare with (there are: checkpoint-kd-0, checkpoint-kd-1, prokd)" in result.stderr
    assert not (tmp_path / "leaderboards").exists()


def test_other_suites_have_no_study_and_say_nothing_of_one(tmp_path: Path) -> None:
    world = search_world(tmp_path)
    board = build_leaderboard(world.store, world.manifest())
    assert build_study(world.store, board) is None
    assert "study" not in to_markdown(report_of(world.store, board))


def test_a_study_of_another_version_is_one_clear_error(tmp_path: Path) -> None:
    world = search_world(tmp_path)
    board = build_leaderboard(world.store, world.manifest(study="moon-phase"))
    with pytest.raises(ReportError, match="unknown study 'moon-phase'"):
        build_study(world.store, board)
