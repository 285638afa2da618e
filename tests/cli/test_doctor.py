"""``kdbench doctor``: what it says is true and can be read by programs."""

from __future__ import annotations

import json
import os
from importlib import metadata
from pathlib import Path

import pytest

from kdbench.suite import load_suite, suite_names
from tests.conftest import kdbench


def test_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions, devices, places, and what of every suite can run; a mirror that does not exist is an error."""
    monkeypatch.setenv("KDBENCH_DATA", os.pathsep.join([str(tmp_path), "/no/such/mirror"]))
    monkeypatch.setenv("KDBENCH_STORE", str(tmp_path / "new" / "store"))
    findings = json.loads(kdbench("doctor", "--offline", "--json", cwd=tmp_path, check=1).stdout)
    assert {finding["level"] for finding in findings} <= {"ok", "note", "error"}
    found = {finding["subject"]: (finding["level"], finding["text"]) for finding in findings}
    assert found["torch"] == ("ok", metadata.version("torch"))
    assert found["hub"] == ("note", "does not answer: mirrors and packages only")
    assert found["store"][1].startswith(f"{tmp_path / 'new' / 'store'}, ")
    assert found["pair tiny-l4-l2"] == ("ok", "weights are here")
    assert "bert-base-uncased: not in a model mirror" in found["pair bert-base-distilbert"][1]
    assert found["attack deepwordbug"] == ("ok", "can run")
    assert "Universal Sentence Encoder" in found["attack textfooler"][1]
    for name in suite_names():
        suite = load_suite(name)
        pairs = [pair.kind for pair in suite.pairs.values()]
        total = sum(pairs.count(task.modality) for task in suite.tasks.values())
        assert f"of {total} task × pair combinations can run here" in found[f"suite {name}"][1]
    assert found["suite glue-robust"][1].startswith("0 of 45 "), "nothing without data"
    mirrors = [finding for finding in findings if finding["subject"] == "data mirror"]
    assert [finding["level"] for finding in mirrors] == ["ok", "error"]
    assert mirrors[1]["text"] == "/no/such/mirror: missing"
    assert not (tmp_path / "new").exists(), "looking makes no store"
