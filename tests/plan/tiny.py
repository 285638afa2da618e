"""A tiny suite with its data, the keys of its plan, and which of them a change touches."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kdbench.inputs.text import TextReader
from kdbench.models.tiny import tiny_tokenizer
from kdbench.plan import Cell, Plan

METHOD_NAMES = [
    "finetune", "kd", "logit-mse", "annealing", "continuation", "takd", "rco", "checkpoint-kd", "prokd", "mate",
    "combined", "random-teacher", "label-smoothing", "prokd+mate",
]  # fmt: skip
READER = TextReader(tiny_tokenizer(), 64)
SUITE: dict[str, Any] = {
    "name": "tiny",
    "tasks": [
        {
            "name": "mood",
            "source": {"files": {"train": "train.csv", "validation": "dev.csv"}},
            "columns": {"text": "text"},
            "labels": ["bad", "good"],
            "ood": [
                {"name": "far", "source": {"files": {"validation": "far.csv"}}, "columns": {"text": "text"}},
            ],
        }
    ],
    "pairs": ["tiny-l4-l2"],
    "methods": METHOD_NAMES,
    "seeds": [1, 2],
    "budget": "quick",
    "budgets": {"quick": {"epochs": 2, "precision": "fp32"}},
    "evaluations": {
        "attack": {"attacks": [{"name": "a", "recipe": "m:f"}, {"name": "b", "recipe": "m:g"}], "examples": 10}
    },
}
Change = Callable[[dict[str, Any]], Any]


def write_suite(folder: Path, change: Change = lambda _: None, base: dict[str, Any] = SUITE) -> str:
    """A changed suite with its data in ``folder``; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train", "dev", "far"):
        rows = [f"{name} sentence {i},{('bad', 'good')[i % 2]}" for i in range(40)]
        (folder / f"{name}.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    suite = copy.deepcopy(base)
    change(suite)
    (folder / "s.yaml").write_text(json.dumps(suite), encoding="utf-8")  # JSON is YAML
    return str(folder / "s.yaml")


def keys_of(made: Plan) -> dict[tuple[str, str, str, int, str, str], str]:
    """Key of every place in the tables."""
    keys = {}
    for row in made.rows:
        seed = 0 if row.method == "teacher" else row.seed
        keys[(row.pair, row.task, row.method, seed, row.evaluation, row.dataset)] = row.key
    return keys


def changed(before: Plan, after: Plan) -> set[str]:
    """Which kinds of rows have another key: ``teacher``, a method's name, or ``in_domain``, ``ood`` …"""
    old, new = keys_of(before), keys_of(after)
    assert old.keys() == new.keys()
    return {place[4] or place[2] for place, key in old.items() if new[place] != key}


def with_task(**changes: Any) -> Change:
    """Other fields of its task."""
    return lambda suite: suite["tasks"][0].update(changes)


def with_attack(**changes: Any) -> Change:
    """Other fields of its attack settings."""
    return lambda suite: suite["evaluations"]["attack"].update(changes)


def named(made: Plan, method: str, seed: int = 1) -> Cell:
    """The training of one method's student."""
    wanted = (method, seed, "")
    return made.cells[next(row.key for row in made.rows if (row.method, row.seed, row.evaluation) == wanted)]
