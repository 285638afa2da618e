"""Keys change with whatever can change a number, and with nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdbench.budget import Budget
from kdbench.hashing import digest
from kdbench.locations import Locations
from kdbench.methods.registry import METHODS
from kdbench.plan import Plan, Selection, make_plan
from kdbench.suite import load_suite
from tests.plan.tiny import (
    METHOD_NAMES,
    Change,
    changed,
    keys_of,
    named,
    with_attack,
    with_task,
    write_suite,
)


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


def test_a_key_is_the_digest_of_everything_in_the_spec(plan: Callable[..., Plan]) -> None:
    """Change any leaf of any spec: another key. And specs are plain JSON that reads back the same."""
    for cell in plan(selection=Selection(seeds=(1,))).cells.values():
        assert cell.key == digest(cell.spec) and json.loads(json.dumps(cell.spec)) == cell.spec
        for path, old in _leaves(cell.spec):
            spec = copy.deepcopy(cell.spec)
            target = spec
            for part in path[:-1]:
                target = target[part]
            target[path[-1]] = "changed" if old != "changed" else "again"
            assert digest(spec) != cell.key, path


STUDENTS = set(METHOD_NAMES)
WITH_TEACHER = STUDENTS - {"finetune", "label-smoothing", "random-teacher"}
MEASURED = {"in_domain", "ood", "attack", "quality", "fidelity", "calibration", "efficiency"}
EVERYTHING = {"teacher", *STUDENTS, *MEASURED}
BUDGET_FIELDS: dict[str, tuple[Any, set[str]]] = {
    "epochs": (3, STUDENTS | MEASURED),
    "paper": (True, STUDENTS | MEASURED),
    "learning_rate": (1e-4, STUDENTS | MEASURED),
    "teacher_epochs": (4, {"teacher"} | WITH_TEACHER | MEASURED),
    "checkpoints": (2, {"teacher"} | WITH_TEACHER | MEASURED),
    "teacher_learning_rate": (1e-4, {"teacher"} | WITH_TEACHER | MEASURED),
    "batch_size": (16, EVERYTHING),
    "optimizer": ("sgd", EVERYTHING),
    "momentum": (0.8, EVERYTHING),
    "schedule": ("cosine", EVERYTHING),
    "warmup": (0.1, EVERYTHING),
    "weight_decay": (0.0, EVERYTHING),
    "clip_norm": (2.0, EVERYTHING),
    "max_train": (20, EVERYTHING),
    "precision": ("bf16", EVERYTHING),
    "threads": (2, EVERYTHING),
    "max_evaluation": (9, {"in_domain", "ood", "fidelity", "calibration"}),
    "attack_examples": (5, {"attack", "quality"}),
    "max_corrupted": (9, set()),
    "images": ({"batch_size": 9}, set()),
    "pairs": (["tiny-l4-l2"], set()),
    "tasks": (["mood"], set()),
    "attacks": (["b", "a"], set()),
}


def test_every_budget_field_is_accounted_for() -> None:
    """A new field needs a line above; seeds say which cells there are, not what is in them."""
    assert BUDGET_FIELDS.keys() == Budget.model_fields.keys() - {"seeds"}


def test_a_budgets_seeds_stand_in_for_the_suites(plan: Callable[..., Plan]) -> None:
    """Without touching a key; a selection's seeds stand in for both."""
    whole = keys_of(plan())
    quick = plan(lambda suite: suite["budgets"]["quick"].update(seeds=[2]))
    assert {row.seed for row in quick.rows} == {0, 2} and keys_of(quick).items() < whole.items()
    chosen = plan(lambda suite: suite["budgets"]["quick"].update(seeds=[2]), Selection(seeds=(1,)))
    assert {row.seed for row in chosen.rows} == {0, 1}


def test_a_budget_names_the_attacks_it_can_afford(plan: Callable[..., Plan]) -> None:
    """The others are not run; what is run has the keys it would have anyway."""
    some = plan(lambda suite: suite["budgets"]["quick"].update(attacks=["b"]))
    assert {row.dataset for row in some.rows if row.evaluation == "attack"} == {"b"}
    assert keys_of(some).items() < keys_of(plan()).items()


@pytest.mark.parametrize("field", BUDGET_FIELDS)
def test_a_budget_field_changes_the_keys_it_should_and_no_other(plan: Callable[..., Plan], field: str) -> None:
    """Fields that matter to training change teachers or students and all below; limits only what they limit."""
    value, expected = BUDGET_FIELDS[field]
    assert changed(plan(), plan(lambda suite: suite["budgets"]["quick"].update({field: value}))) == expected


def test_students_that_know_no_teacher_keep_their_keys_when_it_changes(plan: Callable[..., Plan]) -> None:
    """And so do their evaluations, but for the fidelity to it."""
    change = keys_of(plan(lambda suite: suite["budgets"]["quick"].update(teacher_epochs=4)))
    for place, key in keys_of(plan()).items():
        if place[2] in ("finetune", "label-smoothing", "random-teacher"):
            assert (change[place] == key) == (place[4] != "fidelity"), place


def _evaluations(**changes: Any) -> Change:
    return lambda suite: suite["evaluations"].update(changes)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda suite: suite.update(name="other", version=9, description="d"), set()),
        (with_task(description="d", cite="c"), set()),
        (with_task(max_length=32), EVERYTHING),
        (with_task(labels=["good", "bad"]), EVERYTHING),
        (with_task(label_map={"bad": "good", "good": "bad"}), EVERYTHING),
        (with_task(selection={"fraction": 0.2}), EVERYTHING),
        (with_task(selection={"max_examples": 9}), EVERYTHING),
        (with_task(metrics=["accuracy", "matthews"]), {"in_domain", "fidelity", "calibration"}),
        (lambda suite: suite.update(teacher_seed=1), {"teacher"} | WITH_TEACHER | MEASURED),
        (_evaluations(calibration={"bins": 10}), {"calibration"}),
        (_evaluations(efficiency={"tokens": 16}), {"efficiency"}),
        (with_attack(examples=11), {"attack", "quality"}),
        (with_attack(query_budget=11), {"attack", "quality"}),
        (with_attack(seed=1), {"attack", "quality"}),
        (with_attack(attacks=[{"name": n, "recipe": "m:h", "version": 2} for n in "ab"]), {"attack", "quality"}),
        (with_attack(attacks=[{"name": n, "recipe": f"m:{r}", "cite": "x"} for n, r in ("af", "bg")]), set()),
    ],
    ids=[
        "suite's name", "task's description", "max_length", "labels", "label_map", "selection", "selection limit",
        "metrics", "teacher seed", "bins", "tokens", "attacked examples", "queries", "attack seed", "attack version",
        "attack's citation",
    ],
)  # fmt: skip
def test_a_setting_changes_the_keys_it_should_and_no_other(
    plan: Callable[..., Plan], change: Change, expected: set[str]
) -> None:
    """Names and descriptions change nothing: cells are shared between suites."""
    assert changed(plan(), plan(change)) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("train", EVERYTHING),
        ("dev", {"in_domain", "attack", "quality", "fidelity", "calibration"}),
        ("far", {"ood"}),
    ],
)
def test_other_data_means_other_keys(tmp_path: Path, file: str, expected: set[str]) -> None:
    """The content counts, not the name; training does not depend on what is reported."""
    suite = load_suite(write_suite(tmp_path))
    before = make_plan(suite, Selection(), Locations(offline=True))
    with (tmp_path / f"{file}.csv").open("a") as stream:
        stream.write("\none more,good")
    assert changed(before, make_plan(suite, Selection(), Locations(offline=True))) == expected


def test_a_training_cell_does_not_know_the_reported_data(plan: Callable[..., Plan]) -> None:
    """No fingerprint of an evaluation or out-of-domain set in any teacher's or student's spec."""
    made = plan()
    seen = {cell.spec["dataset"]["fingerprint"] for cell in made.cells.values() if "dataset" in cell.spec}
    assert len(seen) == 2
    for cell in made.cells.values():
        if cell.kind != "evaluation":
            assert not any(fingerprint in json.dumps(cell.spec) for fingerprint in seen), cell.title


def test_another_ood_set_changes_no_key_and_adds_its_own(plan: Callable[..., Plan]) -> None:
    """Nothing is trained or measured again."""

    def add(suite: dict[str, Any]) -> None:
        more = {"name": "near", "source": {"files": {"validation": "dev.csv"}}, "columns": {"text": "text"}}
        suite["tasks"][0]["ood"].append(more)

    before, after = keys_of(plan()), keys_of(plan(add))
    assert before.items() <= after.items()
    assert {place[4:] for place in after.keys() - before.keys()} == {("ood", "near")}


@pytest.mark.parametrize("name", [name for name in METHOD_NAMES if "+" not in name])
def test_every_setting_of_a_method_is_in_the_key(plan: Callable[..., Plan], name: str) -> None:
    """Defaults written out; each part of a composition with its own."""
    made = plan(lambda suite: suite.update(methods=[name], controls=[]), Selection(seeds=(1,)))
    (view,) = named(made, name).spec["method"]
    assert view["name"] == name and view["source"] == "kdbench"
    assert view["config"].keys() == METHODS.get(name).Config.model_fields.keys()


def test_both_parts_of_a_composition_are_in_the_key(plan: Callable[..., Plan]) -> None:
    """Changing a setting of either part is another student."""

    def key(**settings: dict[str, Any]) -> str:
        return named(plan(selection=Selection(methods=("prokd+mate",), settings=settings)), "prokd+mate").key

    keys = {key(), key(prokd={"max_temperature": 2.0}), key(mate={"mask_rate": 0.2}), key(mate={"mask_rate": 0.3})}
    assert len(keys) == 3


def test_takds_settings_reach_its_assistants(plan: Callable[..., Plan]) -> None:
    """Another temperature is another chain."""
    one, two = (
        named(plan(selection=Selection(methods=("takd",), settings={"takd": {"temperature": t}})), "takd").upstream
        for t in (2.0, 4.0)
    )
    assert one != two


def test_a_pairs_models_are_in_the_keys(plan: Callable[..., Plan]) -> None:
    """A wider teacher changes what it teaches; another generator changes only who uses one."""

    def pair(teacher: int, generator: int) -> Change:
        def change(suite: dict[str, Any]) -> None:
            sizes = {"teacher": teacher, "student": 16, "generator": generator}
            models = {role: {"name": role, "source": {"tiny": {"hidden": size}}} for role, size in sizes.items()}
            assistant = {"name": "assistant", "source": {"tiny": {"hidden": 24}}}
            suite["pairs"] = [{"name": "p", **models, "assistants": [assistant]}]

        return change

    base = plan(pair(32, 16))
    students = {"mate", "combined", "prokd+mate"}
    assert changed(base, plan(pair(32, 8))) == students | MEASURED
    assert changed(base, plan(pair(48, 16))) == EVERYTHING - {"finetune", "label-smoothing"}
