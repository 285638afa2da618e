"""``list`` and ``describe``: complete, valid JSON, and unimpressed by broken packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdbench.attacks.spec import ATTACKS
from kdbench.methods.registry import METHODS
from kdbench.models.spec import PAIRS
from kdbench.suite import suite_names
from kdbench.tasks.spec import TASKS
from tests.cli.conftest import Cli
from tests.cli.distributions import write_distribution
from tests.conftest import kdbench, write_suite

NAMES = {
    "methods": METHODS.names,
    "pairs": PAIRS.names,
    "tasks": TASKS.names,
    "attacks": ATTACKS.names,
    "suites": suite_names,
}
GOOD = '''
from kdbench.methods import CrossEntropy, Method, Stage, constant, register_method

@register_method("good-kd", cite="Good et al.")
class Good(Method):
    """Works."""
    def stages(self, budget, trajectory):
        return [Stage("only", constant(budget.total), CrossEntropy())]
'''


@pytest.mark.parametrize("kind", NAMES)
def test_list_names_everything(cli: Cli, kind: str) -> None:
    """As JSON and as a table; the singular is understood, too."""
    rows = json.loads(cli("list", kind, "--json").out)
    assert [row["name"] for row in rows] == NAMES[kind]()
    assert all(row.keys() == rows[0].keys() and row["summary"] for row in rows)
    table = cli("list", kind[:-1]).out
    assert all(f" {row['name']} " in table for row in rows)


def test_list_tells_what_is_compared_with_what(cli: Cli) -> None:
    """The columns that make a choice possible."""
    tasks = {row["name"]: row for row in json.loads(cli("list", "tasks", "--json").out)}
    assert tasks["rte"]["out-of-domain"].startswith("hans, scitail")
    assert tasks["stsb"]["kind"] == "text-regression" and tasks["stsb"]["metrics"] == "pearson, spearman"
    suites = {row["name"]: row for row in json.loads(cli("list", "suites", "--json").out)}
    assert suites["glue-robust"]["budgets"] == "matched*, paper, quick"
    attacks = {row["name"]: row for row in json.loads(cli("list", "attacks", "--json").out)}
    assert attacks["deepwordbug"]["runs here"] == "yes"


def _described(cli: Cli, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli("describe", *arguments, "--json").out)
    return found


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_can_be_described(cli: Cli, name: str) -> None:
    """All stages spend the budget, every setting has a meaning; the same for people."""
    found = _described(cli, "method", name)
    assert found["name"] == name and found["source"] == "kdbench" and found["cite"] and found["formula"]
    for stages in _of_both(found, "stages of 1000 updates"):
        assert sum(stage["updates"] for stage in stages) == 1000
    text = cli("describe", "method", name).out
    for settings in _of_both(found, "settings"):
        assert all(row["meaning"] and row["default"] != "required" for row in settings[name])
        assert all(row["field"] in text for row in settings[name])


def _of_both(found: dict[str, Any], title: str) -> list[Any]:
    """What texts and images have in common, or what each of them has."""
    values = [value for key, value in found.items() if key in (title, f"{title} on texts", f"{title} on images")]
    assert values
    return values


def test_settings_that_differ_on_images_are_shown_apart(cli: Cli) -> None:
    """Hinton's loss has other defaults there; what is the same is said once."""
    found = _described(cli, "method", "kd")
    defaults = [
        {row["field"]: row["default"] for row in found[f"settings on {kind}"]["kd"]} for kind in ("texts", "images")
    ]
    assert [(kind["alpha"], kind["temperature"]) for kind in defaults] == [(0.5, 2.0), (0.1, 4.0)]
    assert "settings" not in found and len(found["stages of 1000 updates"]) == 1
    text = cli("describe", "method", "kd").out
    assert "settings of kd on texts" in text and "settings of kd on images" in text
    assert "settings of ard" in cli("describe", "method", "ard").out


def test_describe_a_composition(cli: Cli) -> None:
    """Both citations, formulas and sets of settings; the augmenter is in the distilling stage only."""
    found = _described(cli, "method", "prokd+mate")
    assert found["cite"].startswith("Rezagholizadeh et al., COLING 2022") and "Rashid et al., ACL 2021" in found["cite"]
    settings = found["settings on texts"]
    assert list(settings) == list(found["settings on images"]) == ["prokd", "mate"]
    assert [row["default"] for row in settings["mate"] if row["field"] == "mask_rate"] == [0.3]
    assert "epsilon" in [row["field"] for row in found["settings on images"]["mate"]]
    first, second = found["stages of 1000 updates on texts"]
    assert (first["augmenter"], first["teacher"], first["legs"]) == ("MaskedText", True, 6)
    assert (second["augmenter"], second["teacher"]) == (None, False)
    assert found["cost of 1000 updates on texts"]["live_teacher_updates"] == first["updates"]
    assert found["stages of 1000 updates on images"][0]["augmenter"] == "AdversarialImages"


def test_describe_the_other_kinds(cli: Cli) -> None:
    """What the YAML says, with names resolved in suites; attacks tell what they lack."""
    assert _described(cli, "task", "mnli")["labels"] == ["entailment", "neutral", "contradiction"]
    assert _described(cli, "pair", "minilm-l6-l3")["student"]["layers"] == [0, 2, 5]
    assert list(_described(cli, "suite", "glue-robust")["tasks"]) == TASKS_OF_GLUE
    assert _described(cli, "attack", "deepwordbug")["missing here"] == []
    lacking = " ".join(_described(cli, "attack", "textfooler")["missing here"])
    assert "Universal Sentence Encoder" in lacking and "asset folder" in lacking
    assert cli("describe", "task", "mnli").out.startswith("name: mnli\n")


TASKS_OF_GLUE = ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]


def test_settings_of_any_sort_can_be_described(tmp_path: Path) -> None:
    """Defaults that are made by a factory, or that JSON does not know."""
    (tmp_path / "odd.py").write_text(
        GOOD.replace("    def stages", "    class Config(MethodConfig):\n"
                     "        layers: list[int] = Field(default_factory=lambda: [1, 2], description='kept')\n"
                     "        folder: Path = Path('here')\n"
                     "    def stages")
        .replace("import CrossEntropy", "import MethodConfig, CrossEntropy")
        .replace("\nfrom", "\nfrom pathlib import Path\nfrom pydantic import Field\nfrom"),
        encoding="utf-8",
    )  # fmt: skip
    options = ("describe", "method", "good-kd", "--plugin", "odd.py")
    rows = json.loads(kdbench(*options, "--json", cwd=tmp_path).stdout)["settings"]["good-kd"]
    assert [(row["field"], row["default"]) for row in rows] == [("layers", [1, 2]), ("folder", "here")]
    assert "[1, 2]" in kdbench(*options, cwd=tmp_path).stdout


def test_broken_packages_are_shown_and_hide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Import errors, wrong classes, wrong and taken names: listed as broken, in nobody's way."""
    broken = {
        "missing-kd": "no_such_module:Method",
        "raising-kd": "raising:Method",
        "number-kd": "good_kd:NUMBER",
        "other-kd": "good_kd:Good",
        "kd": "good_kd:Good",
    }
    write_distribution(tmp_path, "bad-kd", "0.1", broken)
    write_distribution(tmp_path, "good-kd", "2.0", {"good-kd": "good_kd:Good"})
    (tmp_path / "good_kd.py").write_text(f"NUMBER = 1\n{GOOD}", encoding="utf-8")
    (tmp_path / "raising.py").write_text("1 / 0\n", encoding="utf-8")
    write_suite(tmp_path / "tiny.yaml")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    rows = json.loads(kdbench("list", "methods", "--json", cwd=tmp_path).stdout)
    sources = [(row["name"], row["source"]) for row in rows]
    assert sources[: len(METHODS.names())] == [(name, "kdbench") for name in METHODS.names()], "all built-in ones"
    assert ("good-kd", "good-kd==2.0") in sources
    reasons = {row["name"]: row["summary"] for row in rows if row["source"] == "broken"}
    assert reasons == {
        "missing-kd": "method 'missing-kd' of bad-kd==0.1 is broken: "
        "ModuleNotFoundError: No module named 'no_such_module'",
        "raising-kd": "method 'raising-kd' of bad-kd==0.1 is broken: ZeroDivisionError: division by zero",
        "number-kd": "method 'number-kd' of bad-kd==0.1 is broken: good_kd:NUMBER is not a Method",
        "other-kd": "method 'other-kd' of bad-kd==0.1 is broken: its class is registered as 'good-kd'",
        "kd": "the name 'kd' belongs to kdbench: the package must choose another",
    }
    planned = kdbench("plan", "--suite", "./tiny.yaml", "--methods", "kd,good-kd", "--json", cwd=tmp_path)
    assert list(json.loads(planned.stdout)["methods"]) == ["finetune", "kd", "good-kd"]
    refused = kdbench("run", "--suite", "./tiny.yaml", "--methods", "raising-kd", cwd=tmp_path, check=2)
    assert refused.stderr == f"error: {reasons['raising-kd']}\n"
