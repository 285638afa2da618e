"""Leaderboards: computed from records, whole or marked as not whole, safe to open."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest

from kdbench.errors import ReportError
from kdbench.hashing import digest
from kdbench.manifest import find_manifest
from kdbench.reports.build import build_report
from kdbench.reports.csv import summary_csv, tidy_csv
from kdbench.reports.markdown import to_markdown
from kdbench.reports.table import build_leaderboard
from kdbench.stats.intervals import wilson_interval
from tests.reports.world import World

SEEDS = (1, 2)
ACCURACY = {("kd", 1): 0.80, ("kd", 2): 0.84, ("prokd", 1): 0.70, ("prokd", 2): 0.74}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "store")
    for (method, seed), accuracy in ACCURACY.items():
        world.add(method, seed, "", "", {})
        world.add(method, seed, "in_domain", "t", {"accuracy": accuracy})
        world.add(method, seed, "ood", "a", {"accuracy": accuracy - 0.1})
        world.add(method, seed, "ood", "b", {"accuracy": accuracy - 0.2})
    return world


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_means_and_spreads_over_seeds_and_sets(world: World) -> None:
    """Both sets are of the same students, so a good seed is good on both: their spreads do not cancel."""
    report = build_report(world.store, world.manifest())
    kd = next(row for row in rows_of(summary_csv(report)) if row["method"] == "kd")
    assert float(kd["in_domain"]) == pytest.approx(0.82)
    assert float(kd["in_domain_sd"]) == pytest.approx(math.sqrt(2) * 0.02)
    assert float(kd["ood"]) == pytest.approx(0.82 - 0.15)
    assert float(kd["ood_sd"]) == pytest.approx(math.sqrt(2) * 0.02)
    assert float(kd["updates"]) == 100
    assert "82.0 ± 2.8" in to_markdown(report)


def test_tidy_rows_name_their_place_and_coverage(world: World) -> None:
    rows = rows_of(tidy_csv(build_leaderboard(world.store, world.manifest())))
    assert len(rows) == 2 * 3
    row = next(row for row in rows if (row["method"], row["dataset"]) == ("prokd", "b"))
    assert (row["pair"], row["task"], row["evaluation"], row["metric"]) == ("p", "t", "ood", "accuracy")
    assert (row["seeds"], row["seeds_planned"], row["examples"], row["status"]) == ("2", "2", "50", "ok")
    assert float(row["mean"]) == pytest.approx(0.52)


def test_missing_cells_are_shown_and_never_averaged_away(world: World) -> None:
    world.add("late", 1, "", "", {})
    world.add("late", 1, "in_domain", "t", {"accuracy": 0.99})
    world.add("late", 2, "in_domain", "t", None)
    world.add("late", 1, "ood", "a", {"accuracy": 0.99})
    world.add("late", 1, "ood", "b", None)
    report = build_report(world.store, world.manifest())
    line = next(line for line in to_markdown(report).splitlines() if line.startswith("| late |"))
    assert "99" not in line
    assert "missing (1/2)" in line
    late = next(row for row in rows_of(summary_csv(report)) if row["method"] == "late")
    assert late["in_domain"] == late["ood"] == ""


def test_failed_training_makes_its_evaluations_failed(world: World) -> None:
    training = world.add("broken", 1, "", "", None)
    world.add("broken", 1, "in_domain", "t", None)
    world.store.fail(training, ValueError("no | good\nsecond line"))
    text = to_markdown(build_report(world.store, world.manifest()))
    assert "failed (0/1)" in text
    assert "broken on t, p, seed 1, training: no \\| good" in text
    assert "second line" not in text


def test_single_seed_gets_a_wilson_interval(world: World) -> None:
    world.add("one", 1, "in_domain", "t", {"accuracy": 0.9})
    row = next(r for r in rows_of(tidy_csv(build_leaderboard(world.store, world.manifest()))) if r["method"] == "one")
    low, high = wilson_interval(45, 50)
    assert (float(row["low"]), float(row["high"])) == (pytest.approx(low), pytest.approx(high))
    assert row["sd"] == ""


def test_versions_are_never_mixed(world: World, tmp_path: Path) -> None:
    first = world.manifest(version="aaa", order=1)
    world.rows = [row for row in world.rows if row.method == "kd"]
    second = world.manifest(version="bbb", order=2)
    newest, others = find_manifest(world.store, "s")
    assert (newest.version, [m.version for m in others]) == (second.version, [first.version])
    assert find_manifest(world.store, "s", version="aa")[0].version == "aaa"
    with pytest.raises(ReportError, match="version ccc"):
        find_manifest(world.store, "s", version="ccc")


def test_hostile_names_do_no_harm(world: World) -> None:
    world.add("=cmd|' /C calc'!A0", 1, "in_domain", "t", {"accuracy": 0.5})
    world.add("<script>alert(1)</script>", 1, "in_domain", "t", {"accuracy": 0.5})
    board = build_leaderboard(world.store, world.manifest())
    assert not any(row["method"].startswith("=") for row in rows_of(tidy_csv(board)))
    report = build_report(world.store, world.manifest())
    assert not any(row["method"].startswith("=") for row in rows_of(summary_csv(report)))
    text = to_markdown(report)
    assert "<script>" not in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table[:6]}) == 1, "no name breaks a table row"


def test_numbers_survive_the_files(world: World) -> None:
    for path in world.store.root.glob("cells/*/*/record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        assert digest(record["spec"]) == record["key"] == path.parent.name


def test_nothing_finished_is_an_error(tmp_path: Path) -> None:
    world = World(tmp_path / "empty")
    world.add("kd", 1, "in_domain", "t", None)
    with pytest.raises(ReportError, match="has finished yet"):
        build_leaderboard(world.store, world.manifest())
