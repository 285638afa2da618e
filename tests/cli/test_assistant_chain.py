"""TAKD with two assistants, run for real: each link is taught by the one before it."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.conftest import kdbench, write_suite


def test_a_chain_of_two_assistants_trains(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    write_suite(path)
    suite = yaml.safe_load(path.read_text())
    teacher, *chain, student = ({"name": f"m{n}", "source": {"tiny": {"layers": n}}} for n in (4, 3, 2, 1))
    suite["pairs"] = [{"name": "chain", "teacher": teacher, "assistants": chain, "student": student}]
    path.write_text(yaml.safe_dump(suite))
    kdbench("run", "--suite", "./tiny.yaml", "--methods", "takd", "--seeds", 1, "--jobs", 1, cwd=tmp_path)
    records = [json.loads(p.read_text()) for p in (tmp_path / ".kdbench/store/cells").glob("*/*/record.json")]
    links = [r for r in records if r["kind"] == "student" and r["spec"]["upstream"]["assistants"]]
    assert len(links) == 2  # the second assistant, and the student
    assert not any(r["spec"]["upstream"]["teacher"] for r in links)
