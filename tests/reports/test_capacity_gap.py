"""The study of teachers' sizes: slopes, whether the largest hurts, and when that cannot be told."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import linregress, t

from kdbench.reports.studies import build_study
from kdbench.reports.studies.base import Section, Study
from kdbench.reports.studies.evidence import Evidence
from kdbench.reports.studies.gap import Line, find_gaps, write_size
from kdbench.reports.studies.render import to_csv
from kdbench.reports.table import build_leaderboard
from kdbench.rows import TEACHER
from tests.reports.world import World

N = 400
SIZES = (1_000_000, 2_000_000, 8_000_000)


def right(share: float) -> np.ndarray:
    return np.arange(N) < round(share * N)


def add_teacher(world: World, pair: str, parameters: float | None, task: str = "t") -> None:
    world.add(TEACHER, 0, "", "", {"selection_accuracy": 0.9}, pair=pair, task=task)
    world.add(TEACHER, 0, "in_domain", task, {"accuracy": 0.9}, pair=pair, task=task)
    size = None if parameters is None else {"parameters": float(parameters)}
    world.add(TEACHER, 0, "efficiency", task, size, pair=pair, task=task)


def add_method(
    world: World, method: str, scores: tuple[float | None, ...], seeds: tuple[int, ...] = (1,), student: str = "small"
) -> None:
    for index, score in enumerate(scores):
        for seed in seeds:
            outcome = None if score is None else right(score + 0.01 * (seed - 1))
            world.student(method, seed, outcome, pair=f"p{index}", student=student)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """The largest pair comes first, so that sorting is seen."""
    world = World(tmp_path / "store")
    for index in (2, 0, 1):
        add_teacher(world, f"p{index}", SIZES[index])
        world.student("finetune", 1, right(0.7), pair=f"p{index}", student="small", shared=True, parameters=250_000)
    return world


def study_of(world: World) -> Study:
    study = build_study(world.store, build_leaderboard(world.store, world.manifest(study="capacity-gap")))
    assert study is not None
    return study


def section_of(world: World) -> Section:
    (section,) = study_of(world).sections
    return section


def line_of(world: World, method: str) -> Line:
    board = build_leaderboard(world.store, world.manifest(study="capacity-gap"))
    (found,) = find_gaps(Evidence(world.store, board), "t")
    return next(line for line in found.lines if line.method == method)


def finding(section: Section, method: str) -> str:
    (found,) = [line for line in section.findings if line.startswith(f"`{method}`")]
    return found


def test_slope_is_per_doubling_and_its_interval_the_wider_one(world: World) -> None:
    """0, 1 and 3 doublings. The t-interval is scipy's; points on a line keep the examples' uncertainty."""
    add_method(world, "kd", (0.80, 0.70, 0.72))
    slope = line_of(world, "kd").slope
    expected = linregress([0, 1, 3], [0.80, 0.70, 0.72])
    half = t.ppf(0.975, 1) * expected.stderr
    assert slope is not None
    assert (slope.value, slope.low, slope.high) == pytest.approx(
        (expected.slope, expected.slope - half, expected.slope + half)
    )
    add_method(world, "prokd", (0.80, 0.78, 0.74))
    slope = line_of(world, "prokd").slope
    assert slope is not None and slope.value == pytest.approx(-0.02)
    assert -0.035 < slope.low < -0.025 and -0.015 < slope.high < -0.005
    section = section_of(world)
    assert "an interval that holds 0: no trend is shown" in finding(section, "kd")
    assert "loses 2.00 points per doubling" in finding(section, "prokd")
    assert "no trend" not in finding(section, "prokd")


def test_the_largest_teacher_hurts_only_where_that_is_separable(world: World) -> None:
    add_method(world, "kd", (0.70, 0.80, 0.70))
    add_method(world, "takd", (0.70, 0.705, 0.70))
    add_method(world, "prokd", (0.70, 0.71, 0.75))
    kd = line_of(world, "kd")
    assert kd.largest is not None and kd.best_smaller is not None and kd.change is not None
    assert (kd.largest.pair, kd.best_smaller.pair) == ("p2", "p1")
    assert kd.change.value == pytest.approx(-0.1)
    assert kd.change.p == pytest.approx(2 * 2 * 0.5**40), "McNemar on 40 examples, best of two"
    section = section_of(world)
    assert "The largest teacher hurts: the student of the largest teacher (p2) is 10.0 points below" in finding(
        section, "kd"
    )
    assert "That the largest teacher hurts is not shown" in finding(section, "takd")
    assert "The largest teacher does not hurt" in finding(section, "prokd")
    assert [row[0] for row in section.tables[1].rows] == ["kd", "takd", "prokd"], "finetune has no teacher"


def test_a_method_without_a_teacher_is_a_level(world: World) -> None:
    add_method(world, "kd", (0.70, 0.80, 0.70))
    section = section_of(world)
    assert section.title == "t: student of 250 k parameters"
    assert section.panel.levels == (("finetune", pytest.approx(0.7)),)
    assert [series.label for series in section.panel.students] == ["kd"]
    table = {row[0]: row for row in section.tables[0].rows}
    assert table["finetune"][-1] == "–" and len(table["finetune"]) == 5
    assert [title.partition(" ")[0] for title in section.tables[0].columns] == ["method", "p0", "p1", "p2", "slope"]
    assert [x for x, _ in section.panel.ticks] == list(SIZES)


def test_two_teachers_have_no_slope_but_a_difference(tmp_path: Path) -> None:
    world = World(tmp_path / "store")
    for index in range(2):
        add_teacher(world, f"p{index}", SIZES[index])
    add_method(world, "kd", (0.8, 0.7))
    line, section = line_of(world, "kd"), section_of(world)
    assert line.slope is None and line.change is not None and line.change.separable
    assert section.tables[0].rows[1][-1] == "not determinable (only two teachers)"
    assert "the slope is not determinable (only two teachers). The largest teacher hurts" in finding(section, "kd")


def test_a_hole_leaves_slope_and_difference_open(world: World) -> None:
    """Also when what is left would do for a difference."""
    add_method(world, "kd", (0.8, None, 0.7))
    line, section = line_of(world, "kd"), section_of(world)
    assert line.slope is None and line.change is None
    row = next(row for row in section.tables[0].rows if row[0] == "kd")
    assert row[2] == "missing (0/1)" and row[-1] == "not determinable (2 of 3 students)"
    assert "Whether the largest teacher hurts is open." in finding(section, "kd")
    assert math.isnan(section.panel.students[0].points[1].y), "the line has a gap"


def test_a_teacher_of_unknown_size(tmp_path: Path) -> None:
    world = World(tmp_path / "store")
    for index, size in enumerate((1e6, None, 2e6)):
        add_teacher(world, f"p{index}", size)
    add_method(world, "kd", (0.8, 0.7, 0.6))
    section = section_of(world)
    assert section.findings[0] == "The teacher of p1 is not in the figure: its size is unknown (no efficiency record)."
    assert "not determinable (a teacher of unknown size)" in finding(section, "kd")
    assert [point.x for point in section.panel.students[0].points] == [1e6, 2e6]


def test_a_method_that_some_teachers_were_not_asked_for(world: World) -> None:
    """An assistant needs something between: fewer teachers, which is not the same as a missing one."""
    for index in (1, 2):
        world.student("takd", 1, right(0.8 - 0.05 * index), pair=f"p{index}", student="small")
    row = next(row for row in section_of(world).tables[0].rows if row[0] == "takd")
    assert row[1] == "–" and row[-1] == "not determinable (only two teachers)"


def test_students_are_told_apart(world: World) -> None:
    """Another student's pairs are another section; a pair without any finished student stands alone."""
    add_method(world, "kd", (0.8, 0.7, 0.6))
    add_teacher(world, "q", 4e6)
    world.student("kd", 1, right(0.5), pair="q", student="tiny", parameters=90)
    add_teacher(world, "r", 4e6)
    world.student("kd", 1, None, pair="r")
    sections = study_of(world).sections
    assert [section.title for section in sections] == [
        "t: student of 250 k parameters (p2, p0, p1)", "t: student of 90 parameters (q)", "t: student (r)"
    ]  # fmt: skip
    assert sections[1].findings == ("Only one teacher (q): there is no size to compare.",)


def test_an_unfinished_pair_belongs_to_the_only_student(world: World) -> None:
    """So that the hole is seen."""
    add_method(world, "kd", (0.8, 0.7, 0.6))
    add_teacher(world, "late", 3e6)
    world.student("kd", 1, None, pair="late")
    row = next(row for row in section_of(world).tables[0].rows if row[0] == "kd")
    assert row[3] == "missing (0/1)" and row[-1] == "not determinable (3 of 4 students)"


def test_seeds_are_resampled_with_the_examples(tmp_path: Path) -> None:
    """The same mean difference: separable when all seeds agree on it, not when they disagree about its sign."""
    world = World(tmp_path / "store")
    for index in range(2):
        add_teacher(world, f"p{index}", SIZES[index])
    levels = {("steady", 0): (0.8, 0.8, 0.8), ("steady", 1): (0.7, 0.7, 0.7)}
    levels |= {("wild", 0): (0.8, 0.8, 0.8), ("wild", 1): (0.9, 0.8, 0.4)}
    for (method, index), scores in levels.items():
        for seed, score in enumerate(scores, start=1):
            world.student(method, seed, right(score), pair=f"p{index}", student="small")
    steady, wild = (line_of(world, method).change for method in ("steady", "wild"))
    assert steady is not None and wild is not None
    assert (steady.value, wild.value) == pytest.approx((-0.1, -0.1))
    assert steady.p < 0.001 and wild.p > 0.5
    assert (steady.separable, wild.separable) == (True, False)


def test_rows_hold_seed_by_seed_numbers(world: World) -> None:
    add_method(world, "kd", (0.8, 0.7, 0.6), seeds=(1, 2))
    rows = list(csv.DictReader(io.StringIO(to_csv(study_of(world)))))
    assert len(rows) == 3 * (1 + 2)
    row = next(row for row in rows if (row["pair"], row["method"], row["seed"]) == ("p1", "kd", "2"))
    assert [float(row[name]) for name in ("teacher_parameters", "teacher_score", "student_score")] == pytest.approx(
        [2e6, 0.9, 0.71]
    )


@pytest.mark.parametrize(
    ("parameters", "text"),
    [(90, "90"), (78_042, "78 k"), (999_700, "1 M"), (22_713_216, "22.7 M"), (math.nan, "unknown size")],
)
def test_sizes(parameters: float, text: str) -> None:
    assert write_size(parameters) == text
