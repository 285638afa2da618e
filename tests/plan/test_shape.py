"""What is planned, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kdbench.errors import KDBenchError
from kdbench.plan import Plan, Selection
from tests.plan.tiny import (
    METHOD_NAMES,
    keys_of,
    named,
)


def test_every_method_seed_and_evaluation_has_its_place(plan: Callable[..., Plan]) -> None:
    """Teacher once; students by method and seed; all evaluations of each, fidelity of students only."""
    made = plan()
    own = [(row.method, row.seed) for row in made.rows if not row.evaluation]
    assert own == [("teacher", 0), *((method, seed) for method in METHOD_NAMES for seed in (1, 2))]
    names = [
        ("in_domain", "mood"),
        ("ood", "far"),
        ("attack", "a"),
        ("quality", "a"),
        ("attack", "b"),
        ("quality", "b"),
    ]
    names += [("fidelity", "mood"), ("calibration", "mood"), ("efficiency", "mood")]
    for method, seed in own:
        found = [(row.evaluation, row.dataset) for row in made.rows if (row.method, row.seed) == (method, seed)]
        assert found == [("", ""), *(name for name in names if method != "teacher" or name[0] != "fidelity")]
    assert not made.skipped


def test_upstream_comes_before_downstream_and_exists(plan: Callable[..., Plan]) -> None:
    """Topological order, and every row has its cell."""
    made, seen = plan(), set()
    for key, cell in made.cells.items():
        assert key == cell.key and set(cell.upstream) <= seen, cell.title
        seen.add(key)
    assert {row.key for row in made.rows} <= seen


def test_students_wait_for_the_teachers_they_use_and_no_other(plan: Callable[..., Plan]) -> None:
    """Controls without a trained teacher depend on none; TAKD waits for its assistant, which waits for the teacher."""
    made = plan()
    teacher = named(made, "teacher", 0).key
    for method in METHOD_NAMES:
        expected: tuple[str, ...] = (teacher,)
        if method in ("finetune", "label-smoothing", "random-teacher"):
            expected = ()
        if method == "takd":
            (assistant,) = named(made, method).upstream
            assert made.cells[assistant].upstream == (teacher,)
            assert made.cells[assistant].title == "assistant tiny-l3 on mood"
            expected = (assistant,)
        assert named(made, method).upstream == expected, method


def test_a_chain_of_assistants_is_trained_link_by_link(plan: Callable[..., Plan]) -> None:
    """Teacher, larger assistant, smaller assistant, student."""

    def two(suite: dict[str, Any]) -> None:
        large, *chain, small = ({"name": f"m{depth}", "source": {"tiny": {"layers": depth}}} for depth in (5, 4, 3, 1))
        suite["pairs"] = [{"name": "p", "teacher": large, "assistants": chain, "student": small}]
        suite["methods"] = ["takd"]

    made = plan(two)
    titles = []
    cell = named(made, "takd")
    while cell.upstream:
        cell = made.cells[cell.upstream[0]]
        titles.append(cell.title)
    assert titles == ["assistant m3 on mood", "assistant m4 on mood", "teacher m5 on mood"]


def test_shared_work_is_planned_once(plan: Callable[..., Plan]) -> None:
    """One teacher, one assistant; two names for one method share all cells, each with its own rows."""

    def twice(suite: dict[str, Any]) -> None:
        suite["methods"] = ["kd", {"name": "hinton", "method": "kd", "config": {"temperature": 2.0}}, "takd"]

    made = plan(twice)
    titles = [cell.title for cell in made.cells.values()]
    assert titles.count("teacher tiny-l4 on mood") == 1 == titles.count("assistant tiny-l3 on mood")
    assert len(titles) == len(set(titles))
    assert named(made, "kd").key == named(made, "hinton").key
    assert len([row for row in made.rows if row.method == "hinton"]) == len(
        [row for row in made.rows if row.method == "kd"]
    )


def _twice(suite: dict[str, Any]) -> None:
    suite["budgets"]["quick"]["seeds"] = [1, 1]


@pytest.mark.parametrize("seeds", [{"selection": Selection(seeds=(1, 1))}, {"change": _twice}])
def test_a_seed_named_twice_gives_no_second_row(plan: Callable[..., Plan], seeds: dict[str, Any]) -> None:
    """``--seeds 1,1`` and a budget's ``seeds: [1, 1]`` must not count one student as two: refused or merged."""
    try:
        made = plan(**seeds)
    except KDBenchError:
        return
    places = [tuple(row.model_dump().values()) for row in made.rows]
    assert len(places) == len(set(places))


def test_methods_are_skipped_where_they_are_not_defined(plan: Callable[..., Plan]) -> None:
    """With the reason; attacks and calibration are for classes."""

    def scores(suite: dict[str, Any]) -> None:
        suite["tasks"][0] |= {"kind": "text-regression", "labels": [], "metrics": ["pearson"]}
        suite["tasks"][0]["selection"] = {"metric": "pearson"}

    made = plan(scores)
    assert [(s.dataset, s.reason) for s in made.skipped] == [
        ("label-smoothing", "label-smoothing is not defined for text-regression")
    ]
    assert {row.evaluation for row in made.rows} == {"", "in_domain", "ood", "fidelity", "efficiency"}


def test_selecting_narrows_the_plan_and_keeps_controls_and_keys(plan: Callable[..., Plan]) -> None:
    """What is left has the keys it had."""
    whole = plan()
    made = plan(selection=Selection(methods=("prokd",), seeds=(2,)))
    assert {row.method for row in made.rows} == {"teacher", "finetune", "prokd"}
    assert {row.seed for row in made.rows} == {0, 2}
    assert keys_of(made).items() <= keys_of(whole).items() and made.version == whole.version
