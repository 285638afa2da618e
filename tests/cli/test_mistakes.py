"""Bad input: exit code 2, one line that says what is wrong and what to do, nothing written, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.conftest import SENTENCES, write_suite

TINY = ("--suite", "./tiny.yaml")


def _complaint(cli: Cli, *arguments: object) -> str:
    """What stands on standard error, less click's two lines of usage."""
    result = cli(*arguments)
    assert result.code == 2, result
    assert result.out == ""
    lines = [line for line in result.err.splitlines() if line and not line.startswith(("Usage:", "Try '"))]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rnu"], "Error: No such command 'rnu'. Did you mean 'run'?"),
        (["frobnicate"], "Error: No such command 'frobnicate'."),
        (["run"], "Error: Missing option '--suite'."),
        (["run", "--suite", "quickstrat"], "error: unknown suite 'quickstrat': did you mean quickstart?"),
        (["run", "--suite", "x/none.yaml"], "error: x/none.yaml: no such suite file"),
        (["plan", "--suite", "none.yml"], "error: none.yml: no such suite file"),
        (["list", "metods"], "error: unknown kind 'metods': did you mean methods?"),
        (["list", "frogs"], "error: unknown kind 'frogs': known: attacks, methods, pairs, suites, tasks"),
        (["describe", "methd", "kd"], "error: unknown kind 'methd': did you mean methods?"),
        (["describe", "method", "prokdd"], "error: unknown method 'prokdd': did you mean prokd or "),
        (["describe", "task", "mnl"], "error: unknown task 'mnl': did you mean mnli or wnli or qnli?"),
        (["describe", "pair", "tiny"], "error: unknown pair 'tiny': did you mean tiny-l4-l2?"),
        (["describe", "attack", "deepwordbag"], "error: unknown attack 'deepwordbag': did you mean deepwordbug?"),
        (["describe", "suite", "glue"], "error: unknown suite 'glue': did you mean glue-robust?"),
        (
            ["describe", "method", "mate+prokd"],
            "error: method 'prokd' is a schedule: it can stand before a '+', not after it",
        ),
        (
            ["describe", "method", "finetune+mate"],
            "error: method finetune+mate: 'finetune' has no distilling stage to add to",
        ),
        (
            ["describe", "method", "prokd+kd+logit-mse"],
            "error: method prokd+kd+logit-mse: more than one part brings an objective",
        ),
        (["report", "--suite", "quickstart", "--store", "new"], "error: new: holds no run of suite quickstart"),
        (["fetch", "--suite", "quickstart", "--to", "d", "--tasks", "movies"], "error: unknown task 'movies': did you"),
        (
            ["fetch", "--suite", "quickstart", "--to", "d", "--pairs", "x"],
            "error: unknown pair 'x': known: digits-resnet14-resnet8, minilm-l6-l3",
        ),
        (["fetch", "--suite", "quickstart"], "Error: Missing option '--to'."),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_names(cli: Cli, tmp_path: Path, arguments: list[str], expected: str) -> None:
    """Unknown commands, suites, kinds and names come with what they may have been meant to be."""
    complaint = _complaint(cli, *arguments)
    assert complaint.startswith(expected)
    assert "\n" not in complaint
    assert not list(tmp_path.iterdir()), "nothing was written"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--methods", "kdd"], "error: unknown method 'kdd': did you mean kd or"),
        (["--methods", "kd,prokd+mat"], "error: unknown method 'mat': did you mean mate"),
        (["--pairs", "tiny-l4"], "error: the suite has no pair 'tiny-l4': did you mean 'tiny-l4-l2'?"),
        (["--tasks", "mnli"], "error: the suite has no task 'mnli': it has sentences"),
        (["--budget", "quik"], "error: the suite has no budget 'quik': did you mean 'quick'?"),
        (["--seeds", "a,b"], "Error: Invalid value for '--seeds': 'a,b' is not a list of whole numbers"),
        (["--seeds", "1.5"], "Error: Invalid value for '--seeds': '1.5' is not a list of whole numbers"),
        (["--set", "kd.temperature"], "error: --set kd.temperature: must look like METHOD.FIELD=VALUE, e.g. kd.t"),
        (["--set", "temperature=3"], "error: --set temperature=3: must look like METHOD.FIELD=VALUE"),
        (["--set", "kd.temperature=["], "error: --set kd.temperature=[: '[' cannot be read as a value"),
        (["--set", "kd.temperatur=3"], "error: method kd: temperatur: unknown key; did you mean 'temperature'?"),
        (["--set", "kd.temperature=-1"], "error: method kd: temperature: Input should be greater than 0"),
        (["--set", "mate.mask_rate=0.2"], "error: --set mate.…: no method of this run is called mate (finetune, kd)"),
        (["--data", "none"], "error: none: no such directory; --data and --models name local mirrors"),
        (["--models", "tiny.yaml"], "error: tiny.yaml: no such directory"),
        (["--store", "tiny.yaml"], "Error: Invalid value for '--store': Directory 'tiny.yaml' is a file."),
        (["--sute", "x"], "Error: No such option '--sute'."),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_options(cli: Cli, tmp_path: Path, command: str, arguments: list[str], expected: str) -> None:
    """The same complaint from ``plan`` and ``run``, before anything is computed or written."""
    write_suite(tmp_path / "tiny.yaml")
    complaint = _complaint(cli, command, *TINY, *arguments)
    assert complaint.startswith(expected)
    assert "\n" not in complaint
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        (
            "teacher_epochs: 2",
            "teacher_epoch: 2",
            21,
            "budgets.quick.teacher_epoch: unknown key; did you mean 'teacher",
        ),
        ("epochs: 2,", "epochs: -2,", 21, "budgets.quick.epochs: Input should be greater than 0"),
        ("seeds: [1]", "seeds: one", 18, "seeds: "),
        ("budget: quick", "budget: slow", 2, "(top level): budget 'slow' is not one of budgets: quick"),
        ("name: tiny", "name: 'a b'", 2, "name: String should match pattern"),
        ("max_length: 48", "max_lenght: 48", 10, "did you mean 'max_length'?"),
        ("tasks:", "tasks: [}", 3, "is not YAML: "),
    ],
)
def test_suite_files(cli: Cli, tmp_path: Path, old: str, new: str, line: int, expected: str) -> None:
    """A mistake in a suite is told with its file, line and key."""
    path = write_suite(tmp_path / "tiny.yaml")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    complaints = _complaint(cli, "plan", *TINY).removeprefix("error: ").splitlines()
    assert any(one.startswith(f"tiny.yaml:{line}: ") and expected in one for one in complaints), complaints


def test_data_file_that_does_not_exist(cli: Cli, tmp_path: Path) -> None:
    """Found out when planning, by its full path."""
    path = write_suite(tmp_path / "tiny.yaml")
    text = path.read_text(encoding="utf-8").replace(f"test: {SENTENCES}", "test: tests.csv", 1)
    path.write_text(text, encoding="utf-8")
    for command in ("plan", "run"):
        complaint = _complaint(cli, command, *TINY)
        assert complaint.startswith("error: suite tiny cannot run here, this is missing:")
        assert f"  - {tmp_path / 'tests.csv'}: no such file" in complaint.splitlines()
    assert not (tmp_path / ".kdbench").exists()


def test_offline_names_everything_that_is_missing(cli: Cli, tmp_path: Path) -> None:
    """Datasets, weights and out-of-domain sets at once, and the command that fetches them."""
    for command in ("plan", "run"):
        options = ("--suite", "glue-robust", "--pairs", "bert-base-distilbert", "--tasks", "rte", "--offline")
        lines = _complaint(cli, command, *options).splitlines()
        assert lines[0] == "error: suite glue-robust cannot run here, this is missing:"
        for name in (
            "nyu-mll/glue/rte/train", "nyu-mll/glue/rte/validation", "bert-base: google-bert/bert-base-uncased",
            "distilbert: distilbert/distilbert-base-uncased", "jhu-cogsci/hans/plain_text/validation",
            "allenai/scitail/tsv_format/validation", "local/fever-symmetric/v0.1/test",
            "AI-Secure/adv_glue/adv_rte/validation",
        ):  # fmt: skip
            assert any(line.startswith(f"  - {name}: not in a ") for line in lines), name
        assert "kdbench fetch --suite glue-robust --to DIR" in lines[-1]
    assert not list(tmp_path.iterdir())
