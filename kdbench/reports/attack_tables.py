"""One table for each attack: how it ended, what it cost, how far from the originals it led, what it does to others."""

from __future__ import annotations

import math
import statistics

from kdbench.reports.columns import Column, set_columns
from kdbench.reports.entries import Entry
from kdbench.reports.outcome_shares import OUTCOMES
from kdbench.reports.table import Leaderboard


def attack_columns(board: Leaderboard, task: str, name: str) -> list[Column]:
    """Everything beside the score itself that is known of an attack on a task, as far as anything measured it."""
    found = board.transfer_metric(task)
    attack = set_columns(
        board,
        task,
        [
            *(("attack", name, outcome, outcome) for outcome in OUTCOMES if _occurs(board, task, name, outcome)),
            ("attack", name, "success_rate", "success of attacked"),
            ("attack", name, "mean_queries", "queries"),
        ],
    )
    seconds = Column(f"attack/{name}/seconds", "s / example", "ratio", lambda p, m: _seconds(board, p, task, m, name))
    others = [
        ("attack", name, "mean_perturbed_words", "words changed"),
        ("attack", name, "mean_norm", "norm"),
        ("quality", name, "similarity", "similarity"),
        ("quality", name, "low_similarity", "similarity < 0.8"),
        ("quality", name, "perplexity_ratio", "perplexity ratio"),
        ("transfer", name, found, "transfer"),
        ("transfer", name, "transfer_rate", "transfer rate"),
        ("transfer", name, f"{found}_finetune", "transfer from finetune"),
        ("transfer", name, "transfer_rate_finetune", "its rate"),
        ("transfer", name, board.union_metric(task), "union"),
    ]
    return [*attack, seconds, *set_columns(board, task, others)]


def _occurs(board: Leaderboard, task: str, name: str, outcome: str) -> bool:
    wanted = (task, "attack", name, outcome)
    return any(v.mean > 0 for p, v in board.values.items() if (p.task, p.evaluation, p.dataset, p.metric) == wanted)


def _seconds(board: Leaderboard, pair: str, task: str, method: str, name: str) -> Entry | None:
    """Wall time of the attack's cell by its examples, mean over seeds: on whatever else the machine was doing."""
    rows = [row for row in board.manifest.rows if row.place == (pair, task, method, str(row.seed), "attack", name)]
    known = []
    for row in rows:
        record, run = board.records.get(row.key), board.runs.get(row.key)
        examples = record.details.get("examples") if record else None
        if run is not None and isinstance(examples, int) and examples:
            known.append(run.wall_seconds / examples)
    if not known:
        return None
    whole = len(known) == len(rows)
    mean = statistics.fmean(known) if whole else math.nan
    return Entry(mean, math.nan, (len(known), len(rows)), "ok" if whole else "missing")
