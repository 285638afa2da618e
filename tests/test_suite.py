"""Suites: names resolved, definitions in place, and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdbench.errors import SuiteError, UnknownNameError
from kdbench.models.spec import PAIRS
from kdbench.suite import load_suite, suite_names
from kdbench.tasks.spec import TASKS

SUITE = """\
name: mine
tasks: [sst2]
pairs: [tiny-l4-l2]
methods: [kd, annealing]
budget: quick
budgets: {quick: {epochs: 1}}
"""


def _write(folder: Path, text: str = SUITE) -> str:
    (folder / "s.yaml").write_text(text, encoding="utf-8")
    return str(folder / "s.yaml")


@pytest.mark.parametrize("name", suite_names())
def test_suites_that_come_with_kdbench_are_sound(name: str) -> None:
    """They load, are named like their file, carry the control and default to one of their budgets."""
    suite = load_suite(name)
    assert suite.name == name and suite.description and "finetune" in suite.controls
    assert suite.budget in suite.budgets and suite.tasks and suite.pairs and suite.methods
    assert len(suite.seeds) >= 3 or name == "quickstart"


def test_names_become_definitions(tmp_path: Path) -> None:
    """Tasks and pairs from the catalogs; methods under their own names; three seeds by default."""
    suite = load_suite(_write(tmp_path))
    assert suite.tasks == {"sst2": TASKS.get("sst2")} and suite.pairs == {"tiny-l4-l2": PAIRS.get("tiny-l4-l2")}
    assert list(suite.methods) == ["kd", "annealing"] and suite.methods["kd"].config == {}
    assert suite.seeds == (1, 2, 3) and suite.controls == ("finetune",)


def test_a_path_without_a_slash_or_with_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``s.yaml`` and ``./s.yaml`` are files here, ``s`` is a name."""
    _write(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load_suite("s.yaml") == load_suite("./s.yaml")
    with pytest.raises(UnknownNameError):
        load_suite("s")


@pytest.mark.parametrize("where", ["s.yaml", "./s.yaml", "sub/../s.yaml"])
def test_files_of_a_task_in_place_lie_beside_the_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Wherever the program is started."""
    task = """\
tasks:
  - name: t
    source: {files: {train: data/train.csv, validation: ../dev.csv}}
    columns: {text: x}
    labels: [a, b]
"""
    (tmp_path / "sub").mkdir()
    _write(tmp_path, SUITE.replace("tasks: [sst2]\n", task))
    monkeypatch.chdir(tmp_path)
    files = load_suite(where).tasks["t"].source.files
    assert files == {"train": tmp_path / "data" / "train.csv", "validation": tmp_path.parent / "dev.csv"}


def test_a_pair_and_a_method_in_place(tmp_path: Path) -> None:
    """A pair of tiny models; a method under another name with other settings."""
    text = SUITE.replace(
        "pairs: [tiny-l4-l2]\n",
        "pairs:\n  - name: p\n    teacher: {name: a, source: {tiny: {layers: 3}}}\n"
        "    student: {name: b, source: {tiny: {}}}\n",
    ).replace("[kd, annealing]", "[kd, {name: kd-t4, method: kd, config: {temperature: 4}}]")
    suite = load_suite(_write(tmp_path, text))
    assert suite.pairs["p"].teacher.source.tiny and suite.pairs["p"].teacher.source.tiny.layers == 3
    assert suite.methods["kd-t4"].method == "kd" and suite.methods["kd-t4"].config == {"temperature": 4}


def test_unknown_suite() -> None:
    """With a suggestion."""
    with pytest.raises(UnknownNameError, match=r"unknown suite 'quickstrat': did you mean quickstart"):
        load_suite("quickstrat")


@pytest.mark.parametrize("path", ["no/such.yaml", "nothing.yml"])
def test_missing_suite_file(path: str) -> None:
    """A path is not searched for among the names."""
    with pytest.raises(SuiteError, match=f"{path}: no such suite file"):
        load_suite(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[sst2]", "[sst-2]", "unknown task 'sst-2': did you mean sst2"),
        ("[tiny-l4-l2]", "[tiny-l4]", "unknown pair 'tiny-l4': did you mean tiny-l4-l2"),
        (
            "budget: quick",
            "evaluations: {attack: {attacks: [textfoolr]}}\nbudget: quick",
            "unknown attack 'textfoolr': did you mean textfooler",
        ),
        ("[sst2]", "[sst2, sst2]", "task sst2 is named twice"),
        ("[tiny-l4-l2]", "[tiny-l4-l2, tiny-l4-l2]", "pair tiny-l4-l2 is named twice"),
        ("[kd, annealing]", "[kd, {name: kd, method: annealing}]", "method kd is named twice"),
        (
            "budget: quick",
            "evaluations: {attack: {attacks: [pwws, pwws]}}\nbudget: quick",
            "attack pwws is named twice",
        ),
    ],
)
def test_names_that_do_not_work(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The file is named, and what was meant."""
    with pytest.raises(SuiteError, match=rf"s\.yaml: {message}"):
        load_suite(_write(tmp_path, SUITE.replace(old, new)))


def test_no_method_may_be_called_teacher(tmp_path: Path) -> None:
    """The teacher's row of every table has that name."""
    text = SUITE.replace("[kd, annealing]", "[{name: teacher, method: kd}]")
    with pytest.raises(SuiteError, match="teacher"):
        load_suite(_write(tmp_path, text))


def test_a_suite_says_what_a_missing_default_budget_could_be(tmp_path: Path) -> None:
    """The default ``matched`` is not there either."""
    text = SUITE.replace("budget: quick\n", "")
    with pytest.raises(SuiteError, match="budget 'matched' is not one of budgets: quick"):
        load_suite(_write(tmp_path, text))
