"""Which successful attacks are shown to people, and how."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from kdbench.reports.build import build_report
from kdbench.reports.examples import MOST, changed_runs, pick_evenly
from kdbench.reports.html import to_html
from kdbench.reports.model import Report
from kdbench.rows import TEACHER
from tests.reports.world import World

QUESTION = {"kind": "question-answering"}
CLASSES = {"kind": "text-classification", "labels": ["bad", "good"]}


def texts(count: int, salt: str = "") -> pd.DataFrame:
    """As many successes, and one failure."""
    table = pd.DataFrame({"id": [f"e{i}" for i in range(count + 1)], "outcome": "success", "queries": 9})
    table["original"] = [f"a good film {i}" for i in range(count + 1)]
    table["perturbed"] = [f"a g0od{salt} film {i}" for i in range(count + 1)]
    table["predicted"], table["adversarial"] = 1, 0
    table.loc[count, ["outcome", "original"]] = ["failed", "not shown"]
    return table


def attack(world: World, method: str, name: str, table: pd.DataFrame, task: str = "t", seed: int = 1) -> None:
    spec = {"cell": [task, method, name, seed], "task": CLASSES}
    world.add(method, seed, "attack", name, {"accuracy_under_attack": 0.1}, task=task, examples=table, spec=spec)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "store", metrics={"t": ["accuracy"], "u": ["accuracy"]})


def report_on(world: World) -> Report:
    return build_report(world.store, world.manifest())


def test_examples_come_evenly_from_methods_tasks_and_attacks(world: World) -> None:
    """Whatever has few gives all; the same report every time, and no failure."""
    for task in ("t", "u"):
        for method in (TEACHER, "finetune", "kd", "mate"):
            for name in ("words", "letters"):
                attack(world, method, name, texts(3 if method == "mate" else 30, method + name), task)
    report = report_on(world)
    assert len(report.examples) == MOST == 50
    counts = {part: Counter(getattr(e, part) for e in report.examples) for part in ("task", "attack", "method")}
    assert set(counts["task"].values()) == set(counts["attack"].values()) == {25}
    assert counts["method"]["mate"] == 12 and set(counts["method"].values()) <= {12, 13}
    assert "not shown" not in str(report.examples)
    assert report_on(world).examples == report.examples
    assert len({(e.method, e.task, e.attack, e.original) for e in report.examples}) == 50


def test_content_decides_which_examples_are_taken(world: World) -> None:
    """Not the order of the rows."""
    shuffled = texts(200)
    attack(world, "kd", "words", shuffled)
    other = World(world.store.root.parent / "other", metrics=world.metrics)
    attack(other, "kd", "words", shuffled.iloc[::-1].reset_index(drop=True))
    taken = report_on(world).examples
    assert len(taken) == 50 and taken == report_on(other).examples
    assert len({example.original[-1] for example in taken}) == 50


@pytest.mark.parametrize("most", [0, 3, 10, 100])
def test_no_more_is_taken_than_there_is(most: int) -> None:
    available = {("p", "t", "a", "kd"): 2, ("p", "t", "a", "mate"): 0, ("p", "u", "b", "kd"): 5}
    taken = pick_evenly(available, most)
    assert sum(taken.values()) == min(most, 7) and all(taken[place] <= available[place] for place in available)


@pytest.mark.parametrize(
    ("before", "after", "old", "new"),
    [
        ("a good film", "a goood film", ["a", "*good", "film"], ["a", "*goood", "film"]),
        ("a good film", "a film", ["a", "*good", "film"], ["a", "film"]),
        ("a film", "a really odd film", ["a", "film"], ["a", "*really odd", "film"]),
        ("one two", "three", ["*one two"], ["*three"]),
        ("same  same", "same same", ["same same"], ["same same"]),
        ("", "new", [], ["*new"]),
    ],
)
def test_changed_words_are_marked(before: str, after: str, old: list[str], new: list[str]) -> None:
    found = changed_runs(before, after)
    assert [[("*" if changed else "") + text for text, changed in runs] for runs in found] == [old, new]


def test_classes_and_similarity_go_with_the_texts(world: World) -> None:
    attack(world, "kd", "words", texts(1))
    (example,) = report_on(world).examples
    assert (example.before, example.after) == ("good", "bad") and math.isnan(example.similarity)
    assert (example.pair, example.task, example.attack, example.method, example.seed) == ("p", "t", "words", "kd", 1)
    measured = pd.DataFrame({"id": ["e0"], "words_changed": [0.25], "similarity": [0.91]})
    world.add("kd", 1, "quality", "words", {"similarity": 0.91}, examples=measured)
    (example,) = report_on(world).examples
    assert example.similarity == 0.91


def test_questions_are_shown_with_answers(world: World) -> None:
    table = texts(1).assign(predicted="in Rome", adversarial="", f1=0.0)
    metrics = {"f1_under_attack": 0.1}
    world.add("kd", 1, "attack", "words", metrics, examples=table, spec={"of": "attack", "task": QUESTION})
    report = build_report(world.store, world.manifest(kinds={"t": "question-answering"}))
    assert [(example.before, example.after) for example in report.examples] == [("in Rome", "no answer")]


def test_the_page_shows_them_escaped_and_marked(world: World) -> None:
    table = texts(1).assign(original="a <b>good</b> film", perturbed="a <script>x</script> film")
    attack(world, "kd", "words", table)
    page = to_html(report_on(world))
    assert (
        '<h2 id="examples">Texts that attacks changed</h2>' in page and "<summary>t under words (1)</summary>" in page
    )
    assert "a <del>&lt;b&gt;good&lt;/b&gt;</del> film" in page
    assert "a <ins>&lt;script&gt;x&lt;/script&gt;</ins> film" in page
    assert "kd, p, seed 1: good → bad" in page


def test_attacks_on_images_have_no_texts_to_show(world: World) -> None:
    table = pd.DataFrame({"id": ["a"], "outcome": ["success"], "queries": 9, "predicted": [1], "adversarial": [0]})
    attack(world, "kd", "pgd", table)
    report = report_on(world)
    assert report.examples == () and 'id="examples"' not in to_html(report)
