"""How attacks ended, what they cost and what they led to: one table for each task and attack."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kdbench.reports.build import build_report
from kdbench.reports.markdown import to_markdown
from kdbench.reports.model import Report, Table
from kdbench.rows import TEACHER
from tests.reports.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "store")


def attack(world: World, method: str, seed: int, ends: list[str], **options: Any) -> str:
    """A finished attack whose searches ended like this."""
    table = pd.DataFrame({"id": range(len(ends)), "outcome": ends, "queries": 5})
    held = sum(end in ("failed", "exhausted") for end in ends) / len(ends)
    metrics = {"accuracy_under_attack": held, "clean_accuracy": 1 - ends.count("skipped") / len(ends)}
    return world.add(method, seed, "attack", "words", metrics | {"mean_queries": 5.0}, examples=table, **options)


def report_on(world: World) -> Report:
    return build_report(world.store, world.manifest())


def table_of(report: Report) -> Table:
    ((table,),) = (pair.attacks for pair in report.pairs)
    assert (table.key, table.title) == ("t/words", "p: t under words")
    return table


def numbers(table: Table, method: str) -> dict[str, float]:
    line = next(line for line in table.lines if line.name == method)
    return {h.title: c.number for h, c in zip(table.headings, line.cells, strict=True) if c.status == "ok"}


def test_outcomes_are_shares_of_all_examples(world: World) -> None:
    """Means over seeds; a method none of whose searches ended in a way has a share of 0."""
    attack(world, "kd", 1, ["skipped", "failed", "exhausted", "success"])
    attack(world, "kd", 2, ["failed", "failed", "exhausted", "success"])
    attack(world, "finetune", 1, ["success"] * 4)
    attack(world, "finetune", 2, ["success"] * 4)
    table = table_of(report_on(world))
    assert [heading.title for heading in table.headings][:4] == ["skipped", "failed", "exhausted", "success"]
    found = numbers(table, "kd")
    assert [found[end] for end in ("skipped", "failed", "exhausted", "success")] == [0.125, 0.375, 0.25, 0.25]
    assert table.column("attack/words/failed")["kd"].text == "37.5 ± 17.7"
    assert [numbers(table, "finetune")[end] for end in ("skipped", "failed", "exhausted", "success")] == [0, 0, 0, 1]


def test_no_search_ran_out_of_queries_no_column(world: World) -> None:
    attack(world, "kd", 1, ["skipped", "failed", "success", "success"])
    assert [heading.title for heading in table_of(report_on(world)).headings][:3] == ["skipped", "failed", "success"]


def test_a_seed_that_is_not_there_leaves_no_share(world: World) -> None:
    attack(world, "kd", 1, ["failed", "success"])
    world.add("kd", 2, "attack", "words", None)
    assert table_of(report_on(world)).column("attack/words/success")["kd"].text == "missing (1/2)"


def test_exhausted_examples_are_still_right_where_methods_are_compared(world: World) -> None:
    for method, end in (("kd", "exhausted"), ("finetune", "success")):
        for seed in (1, 2):
            attack(world, method, seed, [end] * 20 + ["failed"] * 5)
    report = report_on(world)
    assert {rank.method: rank.score for rank in report.ranks} == {"kd": 1.0, "finetune": 0.2}
    assert report.pairs[0].differences is not None
    assert report.pairs[0].differences.column("attack")["finetune"].text == "-80.0"


def test_seconds_are_wall_time_by_example(world: World) -> None:
    """60 s a cell, of 4 and of 10 examples."""
    attack(world, "kd", 1, ["failed"] * 4)
    attack(world, "kd", 2, ["failed"] * 10)
    table = table_of(report_on(world))
    assert numbers(table, "kd")["s / example"] == pytest.approx((60 / 4 + 60 / 10) / 2)
    path = world.store.cell(attack(world, "kd", 3, ["failed"])) / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"wall_seconds": 3.5}))
    assert numbers(table_of(report_on(world)), "kd")["s / example"] == pytest.approx((15 + 6 + 3.5) / 3)


def test_quality_and_transfer_stand_beside_the_attack(world: World) -> None:
    """And the union in the summary; the guide says what similarity does not prove."""
    for method in (TEACHER, "finetune", "kd"):
        attack(world, method, 1, ["failed", "success"])
        quality = {"words_changed": 0.2, "similarity": 0.87, "low_similarity": 0.25, "perplexity_ratio": 3.0}
        world.add(method, 1, "quality", "words", quality)
    transfer = {"accuracy_under_transfer": 0.6, "transfer_rate": 0.3, "accuracy_under_union": 0.4}
    transfer |= {"accuracy_under_transfer_finetune": 0.5, "transfer_rate_finetune": 0.35}
    for method in ("finetune", "kd"):
        world.add(method, 1, "transfer", "words", transfer)
    report = report_on(world)
    found = numbers(table_of(report), "kd")
    expected = {
        "similarity": 0.87, "similarity < 0.8": 0.25, "perplexity ratio": 3.0, "transfer": 0.6, "transfer rate": 0.3,
        "transfer from finetune": 0.5, "its rate": 0.35, "union": 0.4,
    }  # fmt: skip
    assert {title: found[title] for title in expected} == expected
    assert numbers(table_of(report), TEACHER).keys() & expected.keys() == {
        "similarity", "similarity < 0.8", "perplexity ratio",
    }  # fmt: skip
    (pair,) = report.pairs
    assert pair.summary.column("union")["kd"].number == 0.4 and math.isnan(pair.summary.column("union")[TEACHER].number)
    assert any("does not prove that the meaning is preserved" in line for line in report.guide)
    text = to_markdown(report)
    assert "### p: t under words" in text and "0.87" in text


def test_other_versions_of_an_attack_are_not_compared(world: World) -> None:
    """And are told where numbers come from, each once."""
    for method, version in (("kd", "words/1+textattack-0.3.11 abc"), ("finetune", "words/1+textattack-0.3.11 abc"),
                            ("odd", "words/1+textattack-0.3.11 def")):  # fmt: skip
        attack(world, method, 1, ["failed"] * 5, details={"attack_version": version})
    report = report_on(world)
    assert report.unranked == (
        "odd (p): attacked by another version of the attack than kd (t, words), not ranked under attack",
    )
    assert report.provenance.attacks == (
        ("words on t", "words/1+textattack-0.3.11 abc"),
        ("words on t", "words/1+textattack-0.3.11 def"),
    )
    assert "- attack, words on t: words/1+textattack-0.3.11 def" in to_markdown(report)
