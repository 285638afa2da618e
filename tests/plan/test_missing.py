"""What cannot be had is named: skipped where that is honest, an error where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kdbench.errors import KDBenchError, MethodError, UnknownNameError
from kdbench.plan import Plan, PlanError, Selection
from tests.plan.tiny import (
    Change,
    with_attack,
)


def _lose(*names: str) -> Change:
    def change(suite: dict[str, Any]) -> None:
        task = suite["tasks"][0]
        for name in names:
            if name == "far":
                task["ood"][0]["source"] = {"mirror": "local/far"}
            else:
                task["source"]["files"][{"train": "train", "dev": "validation"}[name]] = f"no-{name}.csv"

    return change


def test_a_missing_ood_set_is_skipped_with_its_reason(plan: Callable[..., Plan]) -> None:
    """The rest runs; each loss is named once."""
    made = plan(_lose("far"))
    assert [tuple(skipped.model_dump().values()) for skipped in made.skipped] == [
        ("", "mood", "ood", "far", "local/far/default/validation: not in a mirror (--data DIR)")
    ]
    assert "ood" not in {row.evaluation for row in made.rows} and len(made.rows) > 20


def test_attacks_without_their_assets_are_skipped(plan: Callable[..., Plan]) -> None:
    """With what they need."""
    made = plan(with_attack(attacks=["textfooler", {"name": "a", "recipe": "m:f"}]))
    (skipped,) = made.skipped
    assert skipped.dataset == "textfooler" and skipped.reason.startswith("attack textfooler needs ")
    assert {row.dataset for row in made.rows if row.evaluation == "attack"} == {"a"}


def test_strict_planning_names_everything_that_is_missing(plan: Callable[..., Plan]) -> None:
    """Out-of-domain sets and assets, too, each once, with the command that gets them."""
    with pytest.raises(PlanError) as caught:
        plan(lambda suite: (_lose("far", "train")(suite), with_attack(attacks=["textfooler"])(suite)), strict=True)
    lines = str(caught.value).splitlines()
    assert lines[0] == "suite tiny cannot run here, this is missing:"
    assert all(any(part in line for line in lines[1:-1]) for part in ("no-train.csv", "local/far", "textfooler"))
    assert len(lines) == 5 and "kdbench fetch --suite tiny --to DIR" in lines[-1]


def test_missing_training_or_reported_data_is_an_error(plan: Callable[..., Plan]) -> None:
    """Without them nothing can run: both are named at once."""
    with pytest.raises(PlanError) as caught:
        plan(_lose("train", "dev"))
    assert "no-train.csv: no such file" in str(caught.value) and "no-dev.csv: no such file" in str(caught.value)


@pytest.mark.parametrize(
    ("selection", "error", "message"),
    [
        (Selection(tasks=("moot",)), PlanError, "the suite has no task 'moot': did you mean 'mood'"),
        (Selection(pairs=("tiny",)), PlanError, "the suite has no pair 'tiny'"),
        (Selection(budget="fast"), PlanError, "the suite has no budget 'fast': it has quick"),
        (Selection(methods=("anealing",)), UnknownNameError, "unknown method 'anealing': did you mean annealing"),
        (Selection(settings={"kdd": {"alpha": 1}}), PlanError, "no method of this run is called kdd"),
        (Selection(settings={"kd": {"alpha": 7}}), MethodError, "method kd: alpha: "),
        (Selection(methods=("kd+annealing",)), MethodError, "'annealing' is a schedule"),
        (Selection(methods=("finetune+mate",)), MethodError, "has no distilling stage to add to"),
        (
            Selection(methods=("checkpoint-kd",), settings={"checkpoint-kd": {"checkpoint": 3}}),
            MethodError,
            "checkpoint 3 does not exist, the trajectory has 3",
        ),
    ],
)
def test_wishes_that_cannot_be(
    plan: Callable[..., Plan], selection: Selection, error: type[KDBenchError], message: str
) -> None:
    """Known before anything runs."""
    with pytest.raises(error, match=message):
        plan(selection=selection)


def test_a_methods_own_name_in_the_suite_is_suggested(plan: Callable[..., Plan]) -> None:
    """Names that only this suite gives are names, too."""

    def named(suite: dict[str, Any]) -> None:
        suite["methods"] = [{"name": "warmest", "method": "kd", "config": {"temperature": 9.0}}]

    with pytest.raises(UnknownNameError, match="did you mean warmest"):
        plan(named, Selection(methods=("warmes",)))


@pytest.mark.parametrize(("method", "part"), [("mate", "generator"), ("takd", "assistant")])
def test_a_pair_that_lacks_a_model_is_named(plan: Callable[..., Plan], method: str, part: str) -> None:
    """Which pair needs what."""

    def bare(suite: dict[str, Any]) -> None:
        models = {role: {"name": role, "source": {"tiny": {}}} for role in ("teacher", "student")}
        suite["pairs"] = [{"name": "bare-pair", **models}]

    with pytest.raises(KDBenchError, match=rf"bare-pair.*{part}|{part}.*bare-pair"):
        plan(bare, Selection(methods=(method,)))
