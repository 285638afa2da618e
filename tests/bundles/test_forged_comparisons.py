"""Unfair comparisons: what one method has and the others have not is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.bundles.forger import Forger
from tests.bundles.tiny_run import findings_of, only

KD = "kd on sentences, tiny-l4-l2, seed 1"


def test_missing_seed(forger: Forger) -> None:
    """Taken out of manifest and cells: every set that the others were measured on is named."""
    forger.drop("kd", 2)
    findings = findings_of(forger.seal())
    assert all("is missing, while another method has this seed" in finding.what for finding in findings)
    assert "kd on sentences, tiny-l4-l2, seed 2, training" in {finding.cell for finding in findings}
    assert "kd on sentences, tiny-l4-l2, seed 2, attack deepwordbug" in {finding.cell for finding in findings}


def test_cell_left_out(forger: Forger) -> None:
    """Of a bundle that says it is whole."""
    key = forger.key("kd", 1, "attack")
    forger.remove(key)
    findings = findings_of(forger.folder)
    assert only(findings, "cells were left out after the export").name == "unfinished"
    assert {finding.what for finding in findings if key in finding.file} == {
        "is listed in bundle.json, but is not there"
    }


def test_cell_too_many(forger: Forger) -> None:
    row = next(row for row in forger.manifest["rows"] if row["evaluation"] == "ood" and row["method"] == "kd")
    forger.manifest["rows"].remove(row)
    findings = findings_of(forger.seal())
    assert row["key"] in only(findings, "no row of the manifest asks for this cell").file


@pytest.mark.parametrize(
    ("change", "name", "what"),
    [
        (lambda spec: spec.update(query_budget=5000), "query_budget", "attacked with another query budget"),
        (lambda spec: spec.update(examples=3), "examples", "attacked on another number of examples"),
        (lambda spec: spec.update(seed=9), "seed", "attacked on another sample"),
        (lambda spec: spec["attack"].update(recipe="a:B"), "attack.recipe", "attacked with other settings"),
        (lambda spec: spec["dataset"].update(fingerprint="f"), "dataset.fingerprint", "measured on other data"),
    ],
    ids=["budget", "examples", "seed", "recipe", "data"],
)
def test_other_attack_for_one_method(
    forger: Forger, change: Callable[[dict[str, Any]], None], name: str, what: str
) -> None:
    """With the key that belongs to the other settings: only the other methods tell."""
    forger.respec(forger.key("kd", 1, "attack"), change)
    (finding,) = findings_of(forger.seal())
    assert (finding.name, finding.cell) == (name, f"{KD}, attack deepwordbug")
    assert what in finding.what and "methods cannot be compared" in finding.what


@pytest.mark.parametrize(
    ("change", "name", "what"),
    [
        (lambda spec: spec["task"]["data"].update(fingerprint="f"), "task.data.fingerprint", "trained on other data"),
        (lambda spec: spec["budget"].update(epochs=9.0), "budget.epochs", "trained with another budget"),
        (lambda spec: spec["model"].update(fingerprint="f"), "model.fingerprint", "trained from another model"),
    ],
    ids=["data", "budget", "model"],
)
def test_other_training_for_one_method(
    forger: Forger, change: Callable[[dict[str, Any]], None], name: str, what: str
) -> None:
    forger.respec(forger.key("kd", 1), change)
    (finding,) = findings_of(forger.seal())
    assert (finding.name, finding.cell) == (name, f"{KD}, training") and what in finding.what


def test_more_updates_for_one_method(forger: Forger) -> None:
    def longer(record: dict[str, Any]) -> None:
        record["cost"]["student_updates"] *= 2
        for stage in record["details"]["stages"]:
            stage["updates"] *= 2

    forger.edit(forger.key("kd", 1), longer)
    finding = only(findings_of(forger.seal()), "the budget is not matched")
    assert finding.name == "student_updates" and finding.stated == 2 * finding.expected


def test_larger_student_for_one_method(forger: Forger) -> None:
    """By its own efficiency record."""
    forger.edit(forger.key("kd", 1, "efficiency"), lambda record: record["metrics"].update(parameters=1e9))
    (finding,) = findings_of(forger.seal())
    assert "not those of the pair's other students" in finding.what and finding.cell == f"{KD}, efficiency sentences"


def test_swapped_teacher(forger: Forger) -> None:
    """A student of another teacher, with everything that is built on it; and an assistant of another teacher."""
    forger.respec(forger.key("kd", 1), lambda spec: spec["upstream"].update(teacher="ab" * 32))
    finding = only(findings_of(forger.seal()), "which is not the teacher of pair tiny-l4-l2")
    assert finding.what.startswith("taught by cell abababababab") and finding.cell == f"{KD}, training"


def test_swapped_teacher_of_an_assistant(forger: Forger) -> None:
    (assistant,) = forger.record(forger.key("takd", 1))["spec"]["upstream"]["assistants"]
    forger.respec(assistant, lambda spec: spec["upstream"].update(teacher="ab" * 32))
    findings = [finding for finding in findings_of(forger.seal()) if "is not the teacher of pair" in finding.what]
    assert [finding.cell for finding in findings] == [
        f"takd on sentences, tiny-l4-l2, seed {n}, training" for n in (1, 2)
    ]


@pytest.mark.parametrize("evaluation", ["attack", "in_domain", "calibration"])
def test_results_of_another_model(forger: Forger, evaluation: str) -> None:
    """A row of kd that shows finetune's cell."""
    own, other = (forger.key(method, 1, evaluation) for method in ("kd", "finetune"))
    for row in forger.manifest["rows"]:
        row["key"] = other if row["key"] == own else row["key"]
    findings = [finding for finding in findings_of(forger.seal()) if "this is another's result" in finding.what]
    assert f"{KD}, {evaluation}" in {finding.cell.rsplit(" ", 1)[0] for finding in findings}


def test_fidelity_to_another_teacher(forger: Forger) -> None:
    other = forger.key("finetune", 1, "in_domain")
    forger.respec(forger.key("kd", 1, "fidelity"), lambda spec: spec["upstream"].update(teacher=other))
    finding = only(findings_of(forger.seal()), "this is another's result")
    assert (
        finding.cell == f"{KD}, fidelity sentences" and f"the teacher's outcomes in cell {other[:12]}" in finding.what
    )


def test_row_that_shows_another_cell(forger: Forger) -> None:
    """Of another seed, another method, another evaluation."""
    keys = {name: forger.key(*place) for name, place in {"seed": ("kd", 2), "method": ("takd", 1)}.items()}
    for row in forger.manifest["rows"]:
        if (row["method"], row["seed"], row["evaluation"]) == ("kd", 1, ""):
            row["key"] = keys["seed"]
        if (row["method"], row["seed"], row["evaluation"]) == ("kd", 2, ""):
            row["key"] = keys["method"]
        if (row["method"], row["seed"], row["evaluation"]) == ("kd", 2, "ood"):
            row["key"] = forger.key("kd", 2, "attack")
    words = "\n".join(map(str, findings_of(forger.seal())))
    assert "the row is of seed 1, the cell of seed 2" in words
    assert "trained by another method or other settings than the manifest says of kd" in words
    assert "the row is of evaluation ood, the cell of attack" in words


def test_row_that_counts_twice(forger: Forger) -> None:
    """A good seed, listed once more."""
    row = next(row for row in forger.manifest["rows"] if row["key"] == forger.key("kd", 1, "ood"))
    forger.manifest["rows"].append(row)
    (finding,) = findings_of(forger.seal())
    assert finding.cell == f"{KD}, ood shifted" and "stands twice in the manifest" in finding.what


def test_other_metric_or_kind_in_the_manifest(forger: Forger) -> None:
    """What methods are judged by is what the suite planned."""
    forger.manifest["metrics"]["sentences"] = ["f1"]
    assert all("the manifest judges by ['f1']" in finding.what for finding in findings_of(forger.seal()))
    forger.manifest["metrics"]["sentences"] = ["accuracy"]
    forger.manifest["kinds"]["sentences"] = "image-classification"
    words = {finding.what for finding in findings_of(forger.seal()) if "calls the task" in finding.what}
    assert words == {"the manifest calls the task image-classification, the cell text-classification"}


def test_changed_settings_of_a_method(forger: Forger) -> None:
    """What the tables say of a method is what it was trained with."""
    (parts,) = forger.manifest["methods"]["kd"]["parts"].values()
    parts[0]["config"]["temperature"] = 99.0
    findings = findings_of(forger.seal())
    assert len(findings) == 2 and all("other settings than the manifest says of kd" in f.what for f in findings)


def test_edited_table_of_contents(forger: Forger) -> None:
    text = (forger.folder / "bundle.json").read_text(encoding="utf-8")
    (forger.folder / "bundle.json").write_text(text.replace('"budget":"quick"', '"budget":"matched"'), encoding="utf-8")
    (finding,) = findings_of(forger.folder)
    assert (finding.name, finding.stated, finding.expected) == ("budget", "matched", "quick")
