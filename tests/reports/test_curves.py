"""Security curves from one run, and training curves from logs."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from kdbench.reports.curves import security_curves, training_curves
from kdbench.reports.model import Curve
from kdbench.reports.outcomes import OutcomeReader
from kdbench.reports.table import build_leaderboard
from tests.reports.world import World


def curves(world: World, **manifest: object) -> list[Curve]:
    board = build_leaderboard(world.store, world.manifest(**manifest))  # type: ignore[arg-type]
    return list(security_curves(world.store, board, OutcomeReader(world.store, board)))


def test_one_run_of_a_search_gives_every_smaller_budget(tmp_path: Path) -> None:
    """By hand: one wrong before, lost after 3 and 30 queries, one never lost."""
    world = World(tmp_path / "store")
    table = pd.DataFrame(
        {"id": list("abcd"), "outcome": ["skipped", "success", "success", "failed"], "queries": [1, 3, 30, 60]}
    )
    spec = {"cell": 1, "query_budget": 60}
    world.add("kd", 1, "attack", "a", {"accuracy_under_attack": 0.25}, examples=table, spec=spec)
    (curve,) = curves(world)
    assert (curve.panel, curve.label, curve.x_title) == ("p · t · a", "kd", "queries allowed")
    assert curve.x == (1, 2, 5, 10, 20, 50, 60)
    assert curve.y == (0.75, 0.75, 0.5, 0.5, 0.5, 0.25, 0.25)
    assert all(low < y < high for low, y, high in zip(curve.low, curve.y, curve.high, strict=True))


def test_images_have_a_run_for_each_epsilon(tmp_path: Path) -> None:
    """Joined by norm, from the clean accuracy at 0; a norm with one epsilon is no curve."""
    world = World(tmp_path / "store")
    for name, norm, epsilon, kept in (("b", "Linf", 0.2, 0.1), ("a", "Linf", 0.1, 0.4), ("c", "L2", 0.5, 0.3)):
        metrics = {"accuracy_under_attack": kept, "clean_accuracy": 0.8}
        spec = {"cell": name, "attack": {"norm": norm, "epsilon": epsilon}}
        world.add("kd", 1, "attack", name, metrics, spec=spec)
    (curve,) = curves(world, kinds={"t": "image-classification"})
    assert (curve.panel, curve.x, curve.y) == ("p · t · worst case, Linf", (0, 0.1, 0.2), (0.8, 0.4, 0.1))


def test_an_attack_of_several_epsilons_is_a_curve_by_itself(tmp_path: Path) -> None:
    """The mean over seeds at each epsilon; it is not joined with attacks of one epsilon, whose settings may differ."""
    world = World(tmp_path / "store")
    single = {"norm": "Linf", "epsilon": 0.1}
    world.add("kd", 1, "attack", "a", {"accuracy_under_attack": 0.4, "clean_accuracy": 0.8}, spec={"attack": single})
    for seed, kept in ((1, 0.25), (2, 0.75)):
        details = {"examples": 4, "security_curve": [[0.0, 1.0], [0.1, 0.75], [0.2, kept]]}
        spec = {"seed": seed, "attack": {"norm": "Linf", "epsilon": 0.2, "epsilons": [0.1, 0.2]}}
        metrics = {"accuracy_under_attack": kept, "clean_accuracy": 1.0}
        world.add("kd", seed, "attack", "curve", metrics, spec=spec, details=details)
    (curve,) = curves(world, kinds={"t": "image-classification"})
    assert (curve.panel, curve.x_title) == ("p · t · curve", "epsilon (Linf)")
    assert (curve.x, curve.y) == ((0.0, 0.1, 0.2), (1.0, 0.75, 0.5))
    assert all(low <= y <= high for low, y, high in zip(curve.low, curve.y, curve.high, strict=True))


def test_trainings_are_drawn_from_records_and_logs(tmp_path: Path) -> None:
    world = World(tmp_path / "store")
    for seed, score in ((1, 0.6), (2, 0.8)):
        selections = [{"step": 10, "selection": 0.5}, {"step": 20, "selection": score}]
        key = world.add("kd", seed, "", "", {}, details={"selections": selections})
        lines = [{"stage": "kd", "step": step, "hard": 1 / step, "soft": seed / step} for step in (10, 20)]
        lines.insert(1, {"stage": "kd", "step": 10, "selection": 0.5})
        (world.store.cell(key) / "log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    board = build_leaderboard(world.store, world.manifest())
    found = {curve.panel: curve for curve in training_curves(world.store, board)}
    assert list(found) == ["p · t · selection score", "p · t · hard loss", "p · t · soft loss"]
    assert found["p · t · selection score"].y == pytest.approx((0.5, 0.7)), "the mean over seeds"
    assert found["p · t · soft loss"].x == (10, 20) and found["p · t · soft loss"].y == (0.1, 0.05), "of seed 1"
