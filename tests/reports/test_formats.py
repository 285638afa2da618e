"""The same report in every format: numbers, marks, footnotes and hostile names."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kdbench.reports.build import build_report
from kdbench.reports.csv import summary_csv
from kdbench.reports.json import to_json
from kdbench.reports.latex import escape, to_latex
from kdbench.reports.markdown import to_markdown
from kdbench.reports.model import Report
from kdbench.reports.published import published_tables
from kdbench.rows import TEACHER
from tests.reports.world import World

HOSTILE = "a_b & 50% {x} \\ $1 <b>|"


@pytest.fixture
def report(tmp_path: Path) -> Report:
    world = World(tmp_path / "store")
    for index, (method, share) in enumerate((("kd", 0.8), ("annealing", 0.79), (HOSTILE, 0.3))):
        for seed in (1, 2, 3):
            world.student(method, seed, np.random.default_rng([seed, index]).permutation(300) < share * 300)
    world.student("late", 1, None)
    return build_report(world.store, world.manifest())


def row_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_markdown_marks_the_best_and_what_cannot_be_told_from_it(report: Report) -> None:
    text = to_markdown(report)
    assert row_of(text, "| kd |").startswith("| kd | **80.0 ± 0.0** | 1–2 |")
    assert row_of(text, "| annealing |").startswith("| annealing | 79.0 ± 0.0 ≈ | 1–2 |")
    assert "| late | missing (0/1) | – |" in text
    assert re.search(r"\| annealing \| -1\.0 \[-\d\.\d, \+\d\.\d\] \|", text), "differences have their own table"


def test_csv_holds_plain_numbers_and_the_differences(report: Report) -> None:
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(summary_csv(report)))}
    assert float(rows["annealing"]["in_domain_difference"]) == pytest.approx(-0.01)
    assert float(rows["annealing"]["in_domain_low"]) < -0.01 < float(rows["annealing"]["in_domain_high"])
    assert rows["kd"]["in_domain_difference"] == rows["late"]["in_domain"] == ""
    assert rows["kd"]["in_domain_rank"] == "1–2" and rows[HOSTILE]["in_domain"] == "0.3"


def test_json_is_everything_without_nan(report: Report) -> None:
    found = json.loads(to_json(report), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    lines = {line["name"]: line["cells"][0] for line in found["pairs"][0]["summary"]["lines"]}
    assert lines["kd"]["number"] == 0.8 and lines["kd"]["mark"] == "best"
    assert lines["late"]["number"] is None and lines["late"]["status"] == "missing"


def test_latex_is_balanced_and_escaped(report: Report) -> None:
    text = to_latex(report)
    assert text.count(r"\begin{") == text.count(r"\end{")
    assert escape(HOSTILE) in text and HOSTILE not in text
    assert r"\textbf{80.0 $\pm$ 0.0}" in text and r"79.0 $\pm$ 0.0\,$\approx$" in text
    assert re.search(r"(?<!\\)[%&#$]1", text) is None


def test_latex_sets_the_teacher_apart_and_keeps_notes_below(tmp_path: Path) -> None:
    world = World(tmp_path / "store")
    world.student(TEACHER, 0, np.arange(200) < 180)
    world.student("lazy", 1, np.arange(200) % 2 == 0)
    lines = to_latex(build_report(world.store, world.manifest())).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("teacher &"))
    assert lines[at + 1] == r"\midrule"
    assert r"50.0 [43.1, 56.9]\tnote{1}" in next(line for line in lines if line.startswith("lazy &"))
    assert any(line.startswith(r"\item[1] predictions on t tell nothing") for line in lines)


def test_every_row_of_a_latex_table_has_its_columns(report: Report) -> None:
    for table in to_latex(report).split(r"\begin{tabular}")[1:]:
        width = len(re.match(r"\{(l r*|lr*)\}", table)[1])  # type: ignore[index]
        rows = [line for line in table.splitlines() if line.endswith(r"\\")]
        assert rows and {len(re.split(r"(?<!\\)&", row)) for row in rows} == {width}


def test_published_numbers_stand_apart(report: Report) -> None:
    """In a block of their own that says what they are, with their source; never in a table."""
    shown = replace(report, published=published_tables("glue-robust"))
    text = to_markdown(shown)
    block = text[text.index("## Published elsewhere, not measured here") :]
    assert "Findings of EMNLP 2022" in block and "annealing 84.56" in block
    assert "84.56" not in text[: text.index("## Published elsewhere")]
    assert published_tables("quickstart") == ()
    assert dict(published_tables("cifar-robust")[0].rows)["CIFAR-100"][1] == ("kd", 61.41)
