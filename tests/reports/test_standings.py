"""Differences, ranks and who may be ranked, on hand-made outcomes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kdbench.errors import ReportError
from kdbench.reports.build import build_report
from kdbench.reports.model import PairReport, Report
from kdbench.rows import TEACHER
from tests.reports.world import World, outcomes

N = 400


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "store")


def right(rng: np.random.Generator, share: float) -> np.ndarray:
    return rng.permutation(N) < share * N


def add(world: World, method: str, share: float, *, seeds: tuple[int, ...] = (1, 2, 3), task: str = "t") -> None:
    """A method with the same accuracy in every seed."""
    for seed in seeds:
        rng = np.random.default_rng([seed, len(method), len(task)])
        world.student(method, seed, right(rng, share), task=task)


def report_on(world: World, reference: str = "", **manifest: object) -> Report:
    return build_report(world.store, world.manifest(**manifest), reference)  # type: ignore[arg-type]


def column(pair: PairReport, key: str) -> dict[str, str]:
    return {name: cell.text for name, cell in pair.summary.column(key).items()}


def test_separable_methods_get_a_rank_of_their_own_and_the_others_share_a_range(world: World) -> None:
    for method, share in (("kd", 0.9), ("annealing", 0.895), ("finetune", 0.6)):
        add(world, method, share)
    (pair,) = report_on(world).pairs
    assert column(pair, "in_domain_rank") == {"kd": "1–2", "annealing": "1–2", "finetune": "3"}
    assert {name: cell.mark for name, cell in pair.summary.column("in_domain").items()} == {
        "kd": "best", "annealing": "tied", "finetune": "",
    }  # fmt: skip


def test_differences_are_to_the_reference_with_intervals_and_corrected_p(world: World) -> None:
    for method, share in (("kd", 0.8), ("annealing", 0.81), ("finetune", 0.5)):
        add(world, method, share)
    report = report_on(world)
    (pair,) = report.pairs
    assert report.reference == "kd" and pair.differences is not None
    assert [line.name for line in pair.differences.lines] == ["annealing", "finetune"]
    found = pair.differences.column("in_domain")
    assert found["finetune"].text == "-30.0" and found["finetune"].high < 0
    assert found["annealing"].low < 0.01 < found["annealing"].high
    p = pair.differences.column("in_domain_p")
    assert p["finetune"].text == "< 0.001" and p["annealing"].number > 0.05


def test_another_reference_is_asked_for_by_name(world: World) -> None:
    for method, share in (("kd", 0.8), ("annealing", 0.6)):
        add(world, method, share)
    (pair,) = report_on(world, "annealing").pairs
    assert pair.differences is not None
    assert {name: cell.text for name, cell in pair.differences.column("in_domain").items()} == {"kd": "+20.0"}
    with pytest.raises(ReportError, match=r"no method 'prokd' to compare with \(there are: kd, annealing\)"):
        report_on(world, "prokd")


def test_one_seed_is_judged_by_mcnemar(world: World) -> None:
    """By hand: of 12 examples on which the two differ, one is right on 11: p = 2 · (1 + 12) / 2^12.

    Twice that, since there are two comparisons.
    """
    first = np.ones(N, bool)
    second = first.copy()
    first[0], second[1:12] = False, False
    world.student("kd", 1, first)
    world.student("annealing", 1, second)
    world.student("prokd", 1, first)
    (pair,) = report_on(world).pairs
    assert pair.differences is not None
    assert pair.differences.column("in_domain_p")["annealing"].number == pytest.approx(2 * 2 * 13 / 2**12)
    assert pair.differences.column("in_domain_p")["prokd"].number == 1


def test_the_teacher_is_no_competitor(world: World) -> None:
    world.student(TEACHER, 0, np.ones(N, bool))
    for method, share in (("kd", 0.8), ("annealing", 0.8)):
        add(world, method, share)
    (pair,) = report_on(world).pairs
    assert column(pair, "in_domain_rank") == {TEACHER: "–", "kd": "1–2", "annealing": "1–2"}


def test_who_is_not_whole_is_not_ranked_and_the_report_says_so(world: World) -> None:
    for method, share in (("kd", 0.8), ("annealing", 0.8), ("late", 0.9)):
        add(world, method, share, seeds=(1, 2))
    add(world, "kd", 0.8, seeds=(3,))
    add(world, "annealing", 0.8, seeds=(3,))
    world.student("late", 3, None)
    report = report_on(world)
    assert report.unranked == ("late (p): not whole in-domain, not ranked there",)
    assert column(report.pairs[0], "in_domain_rank") == {"kd": "1–2", "annealing": "1–2", "late": "–"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dataset": {"fingerprint": "b"}}, "measured on other data than kd (t, o)"),
        ({"limit": 9}, "measured with other settings than kd (t, o)"),
        ({"attack": {"epsilon": 1}}, "measured with other settings than kd (t, o)"),
    ],
)
def test_other_data_or_settings_are_not_ranked_together(world: World, change: dict[str, object], reason: str) -> None:
    for method in ("kd", "annealing", "odd"):
        for seed in (1, 2):
            table = outcomes(right(np.random.default_rng(seed), 0.7))
            spec = {"cell": [method, seed], "dataset": {"fingerprint": "a"}, "limit": 5}
            spec |= change if method == "odd" else {}
            world.add(method, seed, "ood", "o", {"accuracy": 0.7}, examples=table, spec=spec)
    report = report_on(world)
    assert report.unranked == (f"odd (p): {reason}, not ranked out-of-domain",)
    assert column(report.pairs[0], "ood_rank") == {"kd": "1–2", "annealing": "1–2", "odd": "–"}


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ({"task": {"data": {"fingerprint": "b"}}}, "trained on other data than kd (t, t)"),
        ({"budget": {"epochs": 9}}, "trained with another budget than kd (t, t)"),
    ],
)
def test_other_training_is_not_ranked_together(world: World, own: dict[str, object], reason: str) -> None:
    for method in ("kd", "annealing", "odd"):
        spec = {"cell": method, "task": {"data": {"fingerprint": "a"}}, "budget": {"epochs": 3}}
        world.add(method, 1, "", "", {}, spec=spec | (own if method == "odd" else {}))
        world.add(method, 1, "in_domain", "t", {"accuracy": 1}, examples=outcomes(np.ones(N, bool)))
    assert report_on(world).unranked == (f"odd (p): {reason}, not ranked in-domain",)


def test_other_labels_or_examples_are_not_paired(world: World) -> None:
    for method in ("kd", "annealing", "odd"):
        table = outcomes(np.ones(N, bool))
        if method == "odd":
            table["label"] = 1 - table["label"]
        world.add(method, 1, "in_domain", "t", {"accuracy": 1}, examples=table)
    assert report_on(world).unranked == ("odd (p): other examples than kd (t, t), not ranked in-domain",)


def test_attacks_on_one_sample_are_one_set(world: World) -> None:
    """What counts is how much of each example is kept in the mean over the attacks."""
    for method, kept in (("kd", 0.6), ("annealing", 0.2)):
        for seed in (1, 2, 3):
            for attack in ("a", "b"):
                still = np.arange(100) < kept * 100
                lost = np.where(np.arange(100) < 90, "success", "skipped")  # wrong before is lost, too
                table = pd.DataFrame({"id": np.arange(100), "outcome": np.where(still, "failed", lost)})
                metrics = {"accuracy_under_attack": kept, "clean_accuracy": 1.0}
                world.add(method, seed, "attack", attack, metrics, examples=table.assign(queries=5))
    report = report_on(world)
    (pair,) = report.pairs
    assert {interval.method: interval.score for interval in report.ranks} == pytest.approx(
        {"kd": 0.6, "annealing": 0.2}
    )
    assert column(pair, "attack_rank") == {"kd": "1", "annealing": "2"}
    assert pair.differences is not None and pair.differences.column("attack")["annealing"].text == "-40.0"


def test_ranks_over_tasks_know_what_few_tasks_cannot_show(tmp_path: Path) -> None:
    world = World(tmp_path / "store", metrics={"t": ["accuracy"], "u": ["accuracy"]})
    for task in ("t", "u"):
        world.student(TEACHER, 0, np.arange(N) < 0.95 * N, task=task)
        for method, share in (("kd", 0.9), ("annealing", 0.8), ("prokd", 0.7)):
            add(world, method, share, task=task)
    across = report_on(world).across
    assert across is not None and across.title == "In-domain over 2 tasks and pairs"
    assert [(line.name, line.cells[0].text) for line in across.lines] == [
        ("kd", "1.00"), ("annealing", "2.00"), ("prokd", "3.00"),
    ]  # fmt: skip
    assert across.column("kept")["prokd"].number == pytest.approx(0.7 / 0.95)
    assert across.column("improvement")["annealing"].number == 0
    assert "not separable by design" in across.caption


def test_one_task_is_no_table_over_tasks(world: World) -> None:
    add(world, "kd", 0.5)
    add(world, "annealing", 0.5)
    assert report_on(world).across is None


def test_other_seeds_are_not_paired(world: World) -> None:
    for method, seeds in (("kd", (1, 2)), ("annealing", (1, 2)), ("odd", (1, 3))):
        add(world, method, 0.8, seeds=seeds)
    assert report_on(world).unranked == ("odd (p): other seeds than kd on t, not ranked in-domain",)


def test_seeds_of_one_method_on_other_examples_are_no_outcomes(world: World) -> None:
    for method in ("kd", "annealing", "odd"):
        for seed in (1, 2):
            table = outcomes(np.ones(N, bool))
            if (method, seed) == ("odd", 2):
                table["id"] = [f"x{i}" for i in range(N)]
            world.add(method, seed, "in_domain", "t", {"accuracy": 1}, examples=table)
    assert report_on(world).unranked == ("odd (p): not whole in-domain, not ranked there",)


def test_attacks_on_samples_of_their_own_are_sets_of_their_own(world: World) -> None:
    """The mean over the attacks, not over all examples: 0.5 · 0.9 + 0.5 · 0.1."""
    for method, kept in (("kd", (0.9, 0.1)), ("annealing", (0.2, 0.2))):
        for attack, share, n in zip("ab", kept, (100, 40), strict=True):
            still = np.where(np.arange(n) < share * n, "failed", "success")
            table = pd.DataFrame({"id": [f"{attack}{i}" for i in range(n)], "outcome": still, "queries": 5})
            metrics = {"accuracy_under_attack": share, "clean_accuracy": 1.0}
            world.add(method, 1, "attack", attack, metrics, examples=table)
    (pair,) = report_on(world).pairs
    assert pair.differences is not None
    assert pair.differences.column("attack")["annealing"].number == pytest.approx(-0.3)


def test_answers_are_compared_by_what_they_keep(world: World) -> None:
    """By token F1 after the attack, not before."""
    world.metrics["t"] = ["token_f1"]
    for method, f1 in (("kd", 0.6), ("annealing", 0.4)):
        table = pd.DataFrame({"id": np.arange(50), "f1": f1, "clean_f1": 0.9, "outcome": "failed", "queries": 5})
        metrics = {"f1_under_attack": f1, "clean_f1": 0.9}
        world.add(method, 1, "attack", "a", metrics, examples=table)
    (pair,) = report_on(world, kinds={"t": "question-answering"}).pairs
    assert pair.differences is not None
    assert pair.differences.column("attack")["annealing"].number == pytest.approx(-0.2)


def test_ranks_over_pairs_are_of_methods_that_all_pairs_have(world: World) -> None:
    for pair, methods in (("p", ("kd", "annealing", "prokd")), ("q", ("annealing", "kd", "rco"))):
        for index, method in enumerate(methods):
            world.student(method, 1, np.arange(N) < N * (0.9 - index / 10), pair=pair)
    across = report_on(world).across
    assert across is not None
    assert {line.name: line.cells[0].number for line in across.lines} == {"kd": 1.5, "annealing": 1.5}
