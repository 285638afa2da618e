"""Texts with what an attack changed marked, and tables that fit the terminal."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kdbench.reports.attack_summary import attack_tables, mark_changes
from kdbench.victims.results import AttackEntry

WORDS = st.lists(st.text("ab[c]/", min_size=1, max_size=4), max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("before", "after", "marked"),
    [
        ("a good film", "a god film", ("a [[good]] film", "a [[god]] film")),
        ("so good", "so very good", ("so good", "so [[very]] good")),
        ("a b c d", "a d", ("a [[b c]] d", "a d")),
        ("[bold]x[/bold] y", "[bold]x[/bold] z", ("[bold]x[/bold] [[y]]", "[bold]x[/bold] [[z]]")),
        ("same", "same", ("same", "same")),
        ("", "new", ("", "[[new]]")),
    ],
)
def test_changed_words_are_marked(before: str, after: str, marked: tuple[str, str]) -> None:
    """By position, however many words came or went."""
    first, second = mark_changes(before, after)
    assert (first.plain, second.plain) == marked


@given(WORDS, WORDS)
def test_marks_lose_nothing(before: str, after: str) -> None:
    """Without what is coloured, both texts have the same words; with it, each has its own."""
    texts = mark_changes(before, after)
    rest = []
    for text, words in zip(texts, (before, after), strict=True):
        spans = [(span.start, span.end) for span in text.spans if "bold" in str(span.style)]
        left = list(text.plain)
        for start, stop in spans:
            assert text.plain[start : start + 2] == "[[" and text.plain[stop - 2 : stop] == "]]"
            left[start:stop] = " " * (stop - start)
        rest.append("".join(left).split())
        whole = [part[2:-2] if (at, at + len(part)) in spans else part for at, part in _parts(text.plain, spans)]
        assert " ".join(whole).split() == words.split()
    assert rest[0] == rest[1]


def _parts(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, str]]:
    places = sorted({0, len(text), *(place for span in spans for place in span)})
    return [(start, text[start:stop]) for start, stop in itertools.pairwise(places)]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_tables_fit_and_show_every_attack(width: int) -> None:
    """No number is cut, and no attack is lost."""
    names = ["textfooler-minilm", "question-characters", "pwws", "a"]
    entry = AttackEntry(
        version="x/1",
        metrics={
            "clean_accuracy": 0.875, "accuracy_under_attack": 0.125, "success_rate": 6 / 7, "mean_queries": 123.45,
            "mean_perturbed_words": 0.0625,
        },
        interval=(0.0221, 0.4709),
        counts={"skipped": 1, "failed": 0, "exhausted": 1, "success": 6},
        seconds=4.0,
    )  # fmt: skip
    console = Console(width=width, record=True)
    for table in attack_tables(dict.fromkeys(names, entry), "title", width):
        console.print(table)
    shown = console.export_text()
    assert "…" not in shown and max(map(len, shown.splitlines())) <= width
    for value in ("87.5 %", "12.5 [2.2, 47.1] %", "85.7 %", "123.5", "6.2 %", "0.50"):
        assert shown.count(value) == len(names)
    assert all(len(re.findall(rf"(?<!\S){name}(?!\S)", shown)) == 1 for name in names)
