"""The study of checkpoints: oracle and honest search told apart, costs counted, what is missing left open."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from kdbench.reports.build import report_of
from kdbench.reports.markdown import to_markdown as leaderboard_markdown
from kdbench.reports.studies import build_study
from kdbench.reports.studies.base import Section, Study
from kdbench.reports.studies.evidence import Evidence
from kdbench.reports.studies.render import to_csv, to_markdown
from kdbench.reports.studies.search import Search, find_search
from kdbench.reports.table import Leaderboard, build_leaderboard
from kdbench.rows import TEACHER
from tests.reports.world import World

N = 200
SCORES = (0.60, 0.80, 0.75)
SELECTIONS = (0.55, 0.70, 0.72)
TEACHERS = ((0.5, 0.70), (0.9, 0.90), (0.8, 0.85))


def right(share: float, n: int = N) -> np.ndarray:
    """The first ones right: nested outcomes, so that a better model is right wherever a worse one is."""
    return np.arange(n) < round(share * n)


def add_teacher(world: World, **place: str) -> None:
    points = [
        {"index": i, "epoch": (i + 1) / 2, "step": 10 * (i + 1), "selection": selection, "score": score}
        for i, (selection, score) in enumerate(TEACHERS)
    ]
    task = place.get("task", "t")
    world.add(TEACHER, 0, "", "", {"selection_accuracy": 0.9}, cost={"teacher_updates": 30}, **place)  # type: ignore[arg-type]
    world.add(TEACHER, 0, "in_domain", task, {"accuracy": 0.9}, **place)  # type: ignore[arg-type]
    world.add(TEACHER, 0, "trajectory", task, {"best_accuracy": 0.9}, details={"checkpoints": points}, **place)  # type: ignore[arg-type]


def add_sweep(world: World, seeds: tuple[int, ...] = (1,), missing: tuple[int, ...] = (), **place: str) -> None:
    for index, (score, selection) in enumerate(zip(SCORES, SELECTIONS, strict=True)):
        name = f"checkpoint-kd-{index}"
        for seed in seeds:
            outcome = None if index in missing else right(score + 0.01 * (seed - 1))
            world.student(name, seed, outcome, selection=selection, updates=300, **place)  # type: ignore[arg-type]
        world.settings(name, {"alpha": 0.5, "checkpoint": index}, part="checkpoint-kd")


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "store")
    add_teacher(world)
    add_sweep(world)
    world.student("prokd", 1, right(0.79), updates=300)
    world.student("kd", 1, right(0.60), updates=300)
    world.settings("kd", {"alpha": 0.5})
    return world


def board_of(world: World) -> Leaderboard:
    return build_leaderboard(world.store, world.manifest(study="checkpoint-search"))


def search_of(world: World) -> Search:
    return find_search(Evidence(world.store, board_of(world)), "p", "t")


def study_of(world: World) -> Study:
    study = build_study(world.store, board_of(world))
    assert study is not None
    return study


def section_of(world: World) -> Section:
    (section,) = study_of(world).sections
    return section


def finding(section: Section, start: str) -> str:
    (found,) = [line for line in section.findings if line.startswith(start)]
    return found


def test_oracle_has_hindsight_and_the_search_has_not(world: World) -> None:
    """The reported split prefers checkpoint 1, the selection split 2, the teacher's own selection 1."""
    search = search_of(world)
    assert search.oracle is not None and search.choice is not None and search.worst is not None
    assert (search.oracle.index, search.choice.index, search.worst.index, search.teachers_best) == (1, 2, 0, 1)
    assert (search.oracle.epoch, search.oracle.teacher, search.oracle.teacher_selection) == (1.0, 0.90, 0.9)
    assert search.updates == 900
    section = section_of(world)
    assert "upper bound" in finding(section, "Oracle")
    assert "checkpoint 2 (epoch 1.5), 75.0 [68.6, 80.5]: 5.0 points below the oracle" in finding(section, "An honest")
    rows = section.tables[0].rows
    assert [row[-1] for row in rows] == ["", "teacher's best, oracle", "honest search"]
    assert rows[1][:5] == ("1", "1", "90.0", "90.0", "70.0")


def test_differences_are_tested_on_the_same_examples(world: World) -> None:
    """prokd misses 2 examples that the oracle has: McNemar's p, times the three checkpoints it was the best of."""
    search = search_of(world)
    prokd = next(other for other in search.others if other.method == "prokd")
    assert prokd.to_oracle is not None and prokd.to_choice is not None
    assert prokd.to_oracle.value == pytest.approx(-0.01)
    assert prokd.to_oracle.p == pytest.approx(min(1, 3 * binomtest(2, 2).pvalue))
    assert prokd.to_choice.p == pytest.approx(binomtest(8, 8).pvalue), "the search had no hindsight to correct for"
    assert (prokd.to_oracle.separable, prokd.to_choice.separable) == (False, True)
    half = norm.ppf(1 - 0.05 / 3 / 2) * math.sqrt(0.01 * 0.99 / N)
    assert (prokd.to_oracle.low, prokd.to_oracle.high) == pytest.approx((-0.01 - half, -0.01 + half), abs=0.05 * half)
    assert search.spread is not None and search.spread.value == pytest.approx(0.2) and search.spread.separable
    line = finding(section_of(world), "`prokd`")
    assert "1.0 points below the oracle (not separable, p 1), 4.0 points above the honest search (separable" in line


def test_costs_are_counted_in_trainings_and_updates(world: World) -> None:
    world.student("takd", 1, right(0.7), updates=450)
    section = section_of(world)
    costs = {row[0].partition(":")[0]: row[-2:] for row in section.tables[1].rows}
    assert costs["oracle (hindsight)"] == costs["honest search"] == ("3", "900")
    assert (costs["prokd"], costs["takd"]) == (("1", "300"), ("2", "450"))
    line = finding(section, "Cost")
    assert "3 trainings, 900 student updates" in line
    assert "`prokd`, `kd`: one training, 300 student updates, a search being 3.0× that" in line
    assert "`takd`: 2 trainings, 450 student updates, a search being 2.0× that" in line


def test_a_flat_search_is_said_to_show_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "store")
    add_teacher(world)
    for index, score in enumerate((0.70, 0.71, 0.705)):
        world.student(f"checkpoint-kd-{index}", 1, right(score), selection=score)
        world.settings(f"checkpoint-kd-{index}", {"checkpoint": index}, part="checkpoint-kd")
    section = section_of(world)
    assert "do not show that the choice of a checkpoint matters" in finding(section, "Best and worst")
    assert "same checkpoint, after 3 trainings" in finding(section, "An honest")


def test_students_that_are_all_alike(tmp_path: Path) -> None:
    world = World(tmp_path / "store")
    for index in range(2):
        world.student(f"checkpoint-kd-{index}", 1, right(0.7))
        world.settings(f"checkpoint-kd-{index}", {"checkpoint": index}, part="checkpoint-kd")
    world.student("kd", 1, right(0.7))
    section = section_of(world)
    assert finding(section, "All checkpoints give students of the same score")
    assert "level with the oracle (not separable, p 1)" in finding(section, "`kd`")


@pytest.mark.parametrize("failed", [False, True])
def test_a_hole_leaves_oracle_and_search_open(tmp_path: Path, failed: bool) -> None:
    """No best of the rest: the missing one might have been it."""
    world = World(tmp_path / "store")
    add_teacher(world)
    add_sweep(world, missing=(1,))
    world.student("prokd", 1, right(0.79))
    if failed:
        key = next(row.key for row in world.rows if row.method == "checkpoint-kd-1" and not row.evaluation)
        world.store.fail(key, ValueError("no"))
    search, section = search_of(world), section_of(world)
    assert search.oracle is None and search.choice is None
    status = "failed" if failed else "missing"
    assert section.findings == (
        f"Not whole: no score of the student of checkpoint 1 ({status}). Oracle and search are left open until then.",
    )
    assert [row[1] for row in section.tables[1].rows] == ["missing (2/3)", "missing (2/3)", "79.0 [72.8, 84.1]"]
    assert np.isnan(section.panel.students[0].points[1].y), "the line has a gap"


def test_without_the_teachers_own_scores(tmp_path: Path) -> None:
    """They are said to be missing; the students are compared all the same, by number."""
    world = World(tmp_path / "store")
    add_sweep(world)
    section = section_of(world)
    assert section.findings[0] == "The teacher's own scores at its checkpoints are missing."
    assert "checkpoint 1, 80.0" in finding(section, "Oracle")
    assert section.panel.x_label == "teacher's checkpoint" and section.panel.teacher.points == ()


def test_a_part_of_a_sweep_says_so(world: World) -> None:
    world.rows = [row for row in world.rows if row.method != "checkpoint-kd-1"]
    section = section_of(world)
    assert section.findings[0].startswith("No student was asked for from checkpoint 1:")
    assert search_of(world).teachers_best == 1, "the teacher's best is the teacher's, tried or not"


def test_seeds_are_averaged_and_resampled(tmp_path: Path) -> None:
    """One checkpoint for all seeds, by means; no McNemar, no Wilson."""
    world = World(tmp_path / "store")
    add_teacher(world)
    add_sweep(world, seeds=(1, 2, 3))
    for seed in (1, 2, 3):
        world.student("prokd", seed, right(0.79 + 0.01 * (seed - 1)))
    search, section = search_of(world), section_of(world)
    assert search.oracle is not None and search.oracle.student is not None and search.spread is not None
    assert search.oracle.student.mean == pytest.approx(0.81)
    assert search.spread.p < 0.001 and search.spread.separable
    assert section.tables[0].rows[1][5] == "81.0 ± 1.0"
    assert "3 trainings" in finding(section, "Cost"), "trainings of one seed"


def test_every_pair_and_task_has_its_section(tmp_path: Path) -> None:
    """A kind of task has its own settings of the sweep; -1 counts from the end."""
    world = World(tmp_path / "store", metrics={"t": ["accuracy"], "i": ["accuracy"]})
    for place in ({"pair": "p", "task": "t"}, {"pair": "q", "task": "i"}):
        add_teacher(world, **place)
        add_sweep(world, **place)
    for index, checkpoint in enumerate((0, 1, -1)):
        name = f"checkpoint-kd-{index}"
        world.settings(name, {"checkpoint": checkpoint}, part="checkpoint-kd", kind="image-classification")
    manifest = world.manifest(study="checkpoint-search", kinds={"i": "image-classification"})
    study = build_study(world.store, build_leaderboard(world.store, manifest))
    assert study is not None
    assert [section.title for section in study.sections] == ["p: t", "q: i"]
    assert [row[0] for row in study.sections[1].tables[0].rows] == ["0", "1", "2"]


def test_files_hold_the_numbers_and_point_to_each_other(world: World) -> None:
    board = board_of(world)
    study = build_study(world.store, board)
    assert study is not None
    rows = list(csv.DictReader(io.StringIO(to_csv(study))))
    assert len(rows) == 5
    row = next(row for row in rows if row["method"] == "checkpoint-kd-2")
    assert (row["seed"], row["checkpoint"], row["student_updates"]) == ("1", "2", "300")
    numbers = [float(row[name]) for name in ("epoch", "teacher_score", "student_selection", "student_score")]
    assert numbers == pytest.approx([1.5, 0.85, 0.72, 0.75])
    assert next(row for row in rows if row["method"] == "prokd")["checkpoint"] == ""
    text = to_markdown(study, board)
    assert "](study.svg)" in text and "](study.csv)" in text and "](leaderboard.md)" in text
    assert "[study.md](study.md)" in leaderboard_markdown(report_of(world.store, board))


def test_hostile_names_do_no_harm(world: World) -> None:
    world.student("=cmd|<script>$x$", 1, right(0.5))
    board = board_of(world)
    study = build_study(world.store, board)
    assert study is not None
    text = to_markdown(study, board)
    assert "<script>" not in text and "=cmd\\|&lt;script>" in text
    assert all(not row["method"].startswith("=") for row in csv.DictReader(io.StringIO(to_csv(study))))
