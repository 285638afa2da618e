"""Forged numbers, outcomes and files: each is caught, by a sentence that says where and what."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.bundles.forger import Forger
from tests.bundles.tiny_run import findings_of, only

KD = "kd on sentences, tiny-l4-l2, seed 1"


def test_genuine_bundle_has_no_findings(forger: Forger, bundle: Path) -> None:
    """As an archive, unpacked, and after all digests were written anew."""
    assert findings_of(bundle) == []
    assert findings_of(forger.folder) == []
    assert findings_of(forger.seal()) == []


def test_edited_accuracy(forger: Forger) -> None:
    """Two findings: the file is not the exported one, and the number is not that of the outcomes."""
    key = forger.key("kd", 1, "in_domain")
    forger.edit(key, lambda record: record["metrics"].update(accuracy=0.99))
    findings = findings_of(forger.folder)
    assert only(findings, "was changed after the export").file == f"cells/{key[:2]}/{key}/record.json"
    number = only(findings, "does not say what its outcomes say")
    assert (number.name, number.stated, number.cell) == ("accuracy", 0.99, f"{KD}, in_domain sentences")
    assert len(findings) == 2


@pytest.mark.parametrize(
    ("evaluation", "place", "value"),
    [
        ("in_domain", ("metrics", "accuracy"), 0.99),
        ("in_domain", ("details", "examples"), 4000),
        ("attack", ("metrics", "accuracy_under_attack"), 0.99),
        ("attack", ("cost", "queries"), 7),
        ("fidelity", ("metrics", "agreement"), 0.99),
        ("calibration", ("metrics", "ece"), 0.0),
        ("", ("metrics", "selection_accuracy"), 0.99),
    ],
    ids=str,
)
def test_edited_number_with_right_digests(
    forger: Forger, evaluation: str, place: tuple[str, str], value: float
) -> None:
    key = forger.key("kd", 1, evaluation)
    forger.edit(key, lambda record: record[place[0]].update({place[1]: value}))
    (finding,) = findings_of(forger.seal())
    assert (finding.name, finding.stated) == (place[1], value)
    assert finding.cell.startswith(KD) and str(finding.expected) in str(finding)


def test_edited_prediction_with_right_digests(forger: Forger) -> None:
    """It contradicts its logits, the accuracy, and the evaluations that are computed from it."""

    def flip(table: pd.DataFrame) -> pd.DataFrame:
        wrong = table.index[table["prediction"] != table["label"]][0]
        table.loc[wrong, "prediction"] = table.loc[wrong, "label"]
        return table

    forger.outcomes(forger.key("kd", 1, "in_domain"), flip)
    findings = findings_of(forger.seal())
    assert only(findings, "predictions are not what the logits say").cell == f"{KD}, in_domain sentences"
    assert only(findings, "does not say what its outcomes say").name == "accuracy"


def test_edited_logits_with_right_digests(forger: Forger) -> None:
    """Where prediction, logits and accuracy were all made to agree, what is computed from them does not."""
    key = forger.key("kd", 1, "in_domain")

    def all_right(table: pd.DataFrame) -> pd.DataFrame:
        table["prediction"] = table["label"]
        for index in range(2):
            table[f"logit_{index}"] = (table["label"] == index).astype("float32")
        return table

    forger.outcomes(key, all_right)
    forger.edit(key, lambda record: record["metrics"].update(accuracy=1.0))
    findings = findings_of(forger.seal())
    assert {finding.cell.rsplit(", ", 1)[1] for finding in findings} == {"fidelity sentences", "calibration sentences"}


def test_edited_attack_outcome(forger: Forger) -> None:
    def survive(table: pd.DataFrame) -> pd.DataFrame:
        table["outcome"] = "failed"
        return table

    forger.outcomes(forger.key("kd", 1, "attack"), survive)
    findings = findings_of(forger.seal())
    only(findings, "outcomes of the attack are not what the predictions before and after it say")
    assert "accuracy_under_attack" in {finding.name for finding in findings}


def test_edited_outcomes_of_what_is_computed_from_others(forger: Forger) -> None:
    """Where the mean stays as it was, too: intervals are computed from single examples."""

    def swap(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(kl=table["kl"].to_numpy()[::-1])

    forger.outcomes(forger.key("kd", 1, "fidelity"), swap)
    (finding,) = findings_of(forger.seal())
    assert finding.what == "outcomes are not what the outcomes they are computed from say"


def test_example_counted_twice(forger: Forger) -> None:
    forger.outcomes(
        forger.key("kd", 1, "ood"), lambda table: pd.concat([table, table[table.prediction == table.label].head(1)])
    )
    findings = findings_of(forger.seal())
    only(findings, "an example stands twice")
    only(findings, "its examples or their labels are not those of the other methods")


def test_changed_label_column(forger: Forger) -> None:
    """With all numbers right for the new labels: labels are the same for every method."""
    key = forger.key("kd", 1, "ood")
    forger.outcomes(key, lambda table: table.assign(label=table["prediction"]))
    forger.edit(key, lambda record: record["metrics"].update(accuracy=1.0))
    (finding,) = findings_of(forger.seal())
    assert finding.cell == f"{KD}, ood shifted" and finding.file.endswith("examples.parquet")
    assert "labels are not those of the other methods" in finding.what


def test_number_that_no_evaluation_gives(forger: Forger) -> None:
    """It would get a column of its own."""
    forger.edit(forger.key("kd", 1, "ood"), lambda record: record["metrics"].update(f1=0.99))
    assert (
        only(findings_of(forger.seal()), "no evaluation of this kind gives a number 'f1'").cell == f"{KD}, ood shifted"
    )


def test_logits_left_out(forger: Forger) -> None:
    """So that predictions would not have to follow from them."""
    forger.outcomes(forger.key("kd", 1, "ood"), lambda table: table.drop(columns=["logit_0", "logit_1"]))
    assert only(findings_of(forger.seal()), "cannot be recomputed").cell == f"{KD}, ood shifted"


def test_spec_changed_under_its_key(forger: Forger) -> None:
    forger.edit(forger.key("kd", 1, "attack"), lambda record: record["spec"].update(query_budget=5))
    finding = only(findings_of(forger.seal()), "the key is not the digest of the spec")
    assert finding.cell == f"{KD}, attack deepwordbug"


def test_file_that_leads_outside(forger: Forger, tmp_path: Path) -> None:
    """By its name in a record, or by a link: neither is read."""
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    key = forger.key("kd", 1, "ood")
    name = "../../../../secret"
    forger.edit(key, lambda record: record["files"].update({name: {"size": 1, "sha256": "0" * 64}}))
    assert only(findings_of(forger.folder), "which is no name of a cell's file").cell == f"{KD}, ood shifted"
    other = forger.cell(forger.key("kd", 2, "ood")) / "examples.parquet"
    other.rename(tmp_path / "moved.parquet")
    other.symlink_to(tmp_path / "moved.parquet")
    only(findings_of(forger.folder), "examples.parquet is missing, or is not a plain file")


@pytest.mark.parametrize("content", [b"PAR1 nothing PAR1", b"\x80\x04."])
def test_outcomes_that_cannot_be_read(forger: Forger, content: bytes) -> None:
    """A finding, no traceback."""
    (forger.cell(forger.key("kd", 1, "ood")) / "examples.parquet").write_bytes(content)
    assert only(findings_of(forger.seal()), "cannot be recomputed").cell == f"{KD}, ood shifted"


@pytest.mark.parametrize("evaluation", ["attack", ""])
def test_record_without_what_records_have(forger: Forger, evaluation: str) -> None:
    """Emptied details and a spec without its parts are findings, no tracebacks."""
    key = forger.key("kd", 1, evaluation)
    forger.edit(key, lambda record: record.update(details={}, metrics={}))
    forger.respec(key, lambda spec: [spec.pop(name) for name in ("task", "budget", "attack") if name in spec])
    assert findings_of(forger.seal())
