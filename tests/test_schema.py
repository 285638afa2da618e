"""Definitions from YAML: every mistake is one line with file, line, key and, where it helps, a suggestion."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from kdbench.budget import Budget
from kdbench.errors import SuiteError
from kdbench.schema import explain, load_yaml
from kdbench.suite import SuiteFile
from kdbench.tasks.spec import TaskSpec

SUITE = """\
name: s
tasks: [sst2]
pairs: [tiny-l4-l2]
methods: [kd]
budget: quick
budgets:
  quick:
    epochs: 1
"""


def _error(tmp_path: Path, text: str, model: type = SuiteFile) -> list[str]:
    """The lines of the error, each without the folder of the file."""
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SuiteError) as caught:
        load_yaml(path, model)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    epochs: 1", "    epochz: 1", "s.yaml:8: budgets.quick.epochz: unknown key; did you mean 'epochs'?"),
        ("budget: quick", "buget: quick\nbudget: quick", "s.yaml:5: buget: unknown key; did you mean 'budget'?"),
        ("epochs: 1", "epochs: many", "s.yaml:8: budgets.quick.epochs: Input should be a valid number"),
        ("epochs: 1", "epochs: 0", "s.yaml:8: budgets.quick.epochs: Input should be greater than 0"),
        ("methods: [kd]", "seeds: [1, 1]\nmethods: [kd]", "s.yaml:4: seeds: a seed is named twice"),
        ("budget: quick", "budget: slow", "s.yaml:1: (top level): budget 'slow' is not one of budgets: quick"),
        ("methods: [kd]\n", "", "s.yaml:1: methods: Field required"),
        ("tasks: [sst2]", "tasks: []", "s.yaml:2: tasks: Tuple should have at least 1 item"),
        (
            "methods: [kd]",
            "evaluations:\n  in_domain: false\nmethods: [kd]",
            "s.yaml:4: evaluations: fidelity and calibration are computed from in_domain: switch that on",
        ),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """File, line, key, what is wrong."""
    (line,) = _error(tmp_path, SUITE.replace(old, new))
    assert line.startswith(expected)


def test_a_key_without_a_likeness_lists_those_there_are(tmp_path: Path) -> None:
    """Of the block it stands in."""
    (line,) = _error(tmp_path, SUITE + "    qqqq: 1\n")
    assert line.startswith("s.yaml:9: budgets.quick.qqqq: unknown key; known keys: attack_examples, attacks,")


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    """In their places."""
    lines = _error(tmp_path, SUITE.replace("epochs: 1", "epochs: x\n    batch_size: y") + "colour: red\n")
    assert [line.split(": ")[0] for line in lines] == ["s.yaml:8", "s.yaml:9", "s.yaml:10"]


INLINE = """\
tasks:
  - name: t
    source: {mirror: local/t}
    columns: {text: x}
    labels: [a, b]
"""


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("    metricz: [f1]\n", "s.yaml:7: tasks.0.metricz: unknown key; did you mean 'metrics'?"),
        ("    max_length: long\n", "s.yaml:7: tasks.0.max_length: Input should be a valid integer"),
        ("    label_map: {0: c}\n", "s.yaml:3: tasks.0: label_map: 0 -> 'c' is not one of a, b"),
    ],
)
def test_a_mistake_in_a_definition_in_place_is_one_line(tmp_path: Path, more: str, expected: str) -> None:
    """Although a name could have stood there, too: no word about strings, classes or functions of pydantic."""
    (line,) = _error(tmp_path, SUITE.replace("tasks: [sst2]\n", INLINE + more))
    assert line.startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [1\nb: 2\n", "s.yaml:2: is not YAML: "),
        ("- a\n- b\n", "s.yaml: must be a mapping of keys, found list"),
        ("", "s.yaml: must be a mapping of keys, found NoneType"),
        ("just words", "s.yaml: must be a mapping of keys, found str"),
        ("name: !!python/object/apply:os.system [id]\n", "s.yaml:1: is not YAML: could not determine a constructor"),
        ("a: 1\n---\nb: 2\n", "s.yaml:2: is not YAML: "),
        ("name: 2024-13-45\n", "s.yaml"),
        ("name: 0b_\n", "s.yaml"),
    ],
    ids=["syntax", "list", "empty", "text", "python object", "two documents", "impossible date", "impossible number"],
)
def test_what_is_not_a_definition(tmp_path: Path, text: str, expected: str) -> None:
    """One line each, nothing executed, no traceback."""
    lines = _error(tmp_path, text)
    assert len(lines) == 1 and lines[0].startswith(expected)


def test_a_key_may_not_stand_twice(tmp_path: Path) -> None:
    """YAML forbids it; PyYAML keeps the last one without a word."""
    (line,) = _error(tmp_path, SUITE + "budget: quick\n")
    assert line.startswith("s.yaml:9: ") and "budget" in line


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, not UTF-8."""
    for path in (tmp_path / "no.yaml", tmp_path):
        with pytest.raises(SuiteError, match="cannot be read: "):
            load_yaml(path, SuiteFile)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: ü".encode("latin-1"))
    with pytest.raises(SuiteError, match=r"latin\.yaml: is not UTF-8 text"):
        load_yaml(latin, SuiteFile)


def test_definitions_are_frozen_and_strict() -> None:
    """Nothing changes after it was read; an option of another spelling is not taken silently."""
    budget = Budget()
    with pytest.raises(ValidationError, match="frozen"):
        budget.epochs = 5  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Budget.model_validate({"epoch": 1})


@pytest.mark.parametrize("field", ["epochs", "learning_rate", "weight_decay", "clip_norm"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_are_finite(field: str, value: float) -> None:
    """An infinite setting has no JSON, hence no key: it is refused where it is read."""
    with pytest.raises(ValidationError, match=field):
        Budget.model_validate({field: value})


def test_explaining_without_a_file() -> None:
    """For options and plugins: the same words, behind a given place."""
    with pytest.raises(ValidationError) as caught:
        Budget.model_validate({"epochs": 0, "batchsize": 3})
    assert explain(caught.value, Budget, "here").splitlines() == [
        "here: epochs: Input should be greater than 0",
        "here: batchsize: unknown key; did you mean 'batch_size'?",
    ]


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Not to where the program was started."""
    text = "name: t\nsource: {files: {train: data/a.csv}}\ncolumns: {text: x}\nlabels: [a, b]\n"
    (tmp_path / "t.yaml").write_text(text)
    task = load_yaml(tmp_path / "t.yaml", TaskSpec)
    assert task.source.files == {"train": (tmp_path / "data" / "a.csv").resolve()}
