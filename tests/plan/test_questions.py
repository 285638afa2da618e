"""Plans of suites with questions: which attacks and methods go with them, and what is in their keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdbench.attacks.spec import ATTACKS
from kdbench.checks.training import QUESTIONS, SENTENCES
from kdbench.errors import PlanError
from kdbench.locations import Locations
from kdbench.plan import Plan, Selection, make_plan
from kdbench.suite import load_suite

HERE = Locations(offline=True)
SUITE = """
name: mixed
tasks:
  - name: towns
    kind: question-answering
    source: {{files: {{train: {questions}, validation: {questions}}}}}
    columns: {{text: question, text_pair: context, label: answers}}
    metrics: [token_f1, exact_match]
    selection: {{metric: token_f1}}
    max_length: 64
    spans: {{stride: 8, max_question: 16{spans}}}
  - name: sentences
    source: {{files: {{train: {sentences}, validation: {sentences}}}}}
    columns: {{text: text}}
    labels: [negative, positive]
pairs: [tiny-l4-l2]
methods: [kd, dkd]
seeds: [1]
budgets: {{matched: {{epochs: 1}}}}
evaluations:
  attack: {{attacks: [deepwordbug, question-characters]}}
"""


def _plan(folder: Path, *, spans: str = "", **selection: Any) -> Plan:
    path = folder / "mixed.yaml"
    path.write_text(SUITE.format(questions=QUESTIONS, sentences=SENTENCES, spans=spans), encoding="utf-8")
    return make_plan(load_suite(str(path)), Selection(**selection), HERE)


def _keys(plan: Plan, task: str, method: str = "kd") -> dict[str, str]:
    return {f"{r.evaluation}/{r.dataset}": r.key for r in plan.rows if (r.task, r.method) == (task, method)}


def test_every_task_gets_its_own_attacks_and_metrics(tmp_path: Path) -> None:
    """Attacks on texts would edit contexts and ask for classes."""
    plan = _plan(tmp_path)
    assert {name for name in _keys(plan, "towns") if name.startswith("attack")} == {"attack/question-characters"}
    assert {name for name in _keys(plan, "sentences") if name.startswith("attack")} == {"attack/deepwordbug"}
    attack = plan.cells[_keys(plan, "towns")["attack/question-characters"]].spec
    assert attack["attack"]["f1_below"] == 0.5 and attack["query_budget"] == 500 and "perturb" not in attack
    assert {"calibration/towns", "fidelity/towns", "in_domain/towns"} <= set(_keys(plan, "towns"))


def test_a_method_for_classes_is_left_out_with_its_reason(tmp_path: Path) -> None:
    """The other task keeps it; asked for on questions alone, it is an error."""
    plan = _plan(tmp_path)
    assert _keys(plan, "sentences", "dkd") and not _keys(plan, "towns", "dkd")
    (skipped,) = [skip for skip in plan.skipped if skip.dataset == "dkd"]
    assert skipped.reason.startswith("dkd is not defined for question-answering (its target is one class")
    with pytest.raises(PlanError, match=r"method dkd can run on none .*its target is one class"):
        _plan(tmp_path, tasks=("towns",), methods=("dkd",))


def test_a_suite_whose_attacks_fit_no_task_says_so(tmp_path: Path) -> None:
    """Instead of a leaderboard without the column that was asked for."""
    path = tmp_path / "mixed.yaml"
    text = SUITE.format(questions=QUESTIONS, sentences=SENTENCES, spans="").replace(", question-characters", "")
    path.write_text(text, encoding="utf-8")
    plan = make_plan(load_suite(str(path)), Selection(), HERE)
    (skipped,) = [skip for skip in plan.skipped if skip.evaluation == "attack"]
    assert (skipped.task, skipped.dataset) == ("towns", "deepwordbug")
    assert skipped.reason.startswith("none of them is for question-answering; those of kind question are")


@pytest.mark.parametrize("spans", [", null_threshold: 1.5, unanswerable: true", ", n_best: 5"])
def test_how_answers_are_read_is_in_every_key(tmp_path: Path, spans: str) -> None:
    """Selections are decoded with the same settings, so they change trainings, too; other tasks are left alone."""
    plain, changed = _plan(tmp_path), _plan(tmp_path, spans=spans)
    before, after = _keys(plain, "towns"), _keys(changed, "towns")
    assert before["/"] != after["/"] and before["in_domain/towns"] != after["in_domain/towns"]
    assert _keys(plain, "sentences") == _keys(changed, "sentences")


def test_the_shipped_suite_is_of_questions_only() -> None:
    """Every attack it names goes with its tasks, and its quick budget exists."""
    suite = load_suite("squad-robust")
    assert {task.kind for task in suite.tasks.values()} == {"question-answering"}
    assert {ATTACKS.get(name).kind for name in suite.attacks} == {"question"}
    assert {"matched", "paper", "quick"} == set(suite.budgets)
