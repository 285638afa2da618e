"""Methods over all tasks and pairs at once: mean ranks, what is kept of the teacher, and whether that is an order."""

from __future__ import annotations

import math

import numpy as np

from kdbench.reports.difference import LEVEL
from kdbench.reports.model import Cell, Heading, Line, Table
from kdbench.reports.standings import Standings
from kdbench.reports.table import Leaderboard
from kdbench.rows import CONTROLS, TEACHER
from kdbench.stats.across import (
    friedman,
    interquartile_mean,
    probability_of_improvement,
    smallest_signed_rank_p,
    stratified_bootstrap_interval,
    wilcoxon_against,
)
from kdbench.stats.multiple import holm
from kdbench.stats.ranks import mean_rank, rank_intervals

_AXIS = "in_domain"

_HEADINGS = (
    Heading("mean_rank", "mean rank", "ratio", -1),
    Heading("kept", "kept of the teacher (IQM)", "percent", 1),
    Heading("improvement", "P(better than reference)", "percent", 1),
    Heading("wilcoxon", "signed-rank p", "p"),
)


def across_table(board: Leaderboard, standings: Standings) -> Table | None:
    """In-domain over all pairs and tasks; nothing with fewer than two blocks or methods that have them all."""
    pairs = [pair for pair in board.pairs if (pair, _AXIS) in standings.scores]
    if not pairs:
        return None
    everywhere = [set(standings.scores[pair, _AXIS][0]) for pair in pairs]
    methods = [m for m in standings.scores[pairs[0], _AXIS][0] if all(m in names for names in everywhere)]
    columns = {pair: [standings.scores[pair, _AXIS][0].index(m) for m in methods] for pair in pairs}
    crossed = [standings.scores[pair, _AXIS][1] for pair in pairs]
    picked = [columns[pair] for pair in pairs]
    by_seed = [scores[at] for its, at in zip(crossed, picked, strict=True) for scores in its.by_seed]
    draws = [drawn[:, at] for its, at in zip(crossed, picked, strict=True) for drawn in its.stratum_draws]
    blocks = np.array([scores.mean(1) for scores in by_seed])  # (blocks, models)
    if len(blocks) < 2 or len(methods) < 2:
        return None
    intervals = rank_intervals(np.stack(draws, axis=1))
    kept = _kept(board, pairs, methods, by_seed)
    against = _against(blocks, by_seed, methods, standings.reference)
    ranks = mean_rank(blocks)
    lines = [
        Line(
            method,
            "control" if method in CONTROLS else "method",
            (
                Cell(f"{ranks[i]:.2f}", float(ranks[i]), low=float(intervals[i][0]), high=float(intervals[i][1])),
                _percent(*kept[i]),
                *against[i],
            ),
        )
        for i, method in enumerate(methods)
    ]
    order = sorted(range(len(methods)), key=lambda i: ranks[i])
    return Table(
        "across",
        f"In-domain over {len(blocks)} tasks and pairs",
        _HEADINGS,
        tuple(lines[i] for i in order),
        _caption(blocks, methods, standings.reference),
    )


def _kept(
    board: Leaderboard, pairs: list[str], methods: list[str], by_seed: list[np.ndarray]
) -> list[tuple[float, float, float]]:
    """Interquartile mean over seeds and blocks of student / teacher, with its stratified bootstrap interval."""
    teachers = []
    for pair in pairs:
        for task in board.tasks:
            value = board.get(pair, task, TEACHER, _AXIS, task, board.primary(task))
            if any(row.pair == pair and row.task == task for row in board.manifest.rows):
                teachers.append(value.mean if value and value.status == "ok" else math.nan)
    found = []
    for i in range(len(methods)):
        runs = np.stack([scores[i] / teacher for scores, teacher in zip(by_seed, teachers, strict=True)], axis=1)
        if not np.isfinite(runs).all():
            found.append((math.nan, math.nan, math.nan))
            continue
        low, high = stratified_bootstrap_interval(interquartile_mean, runs)
        found.append((float(interquartile_mean(runs)), low, high))
    return found


def _against(
    blocks: np.ndarray, by_seed: list[np.ndarray], methods: list[str], reference: str
) -> list[tuple[Cell, Cell]]:
    if reference not in methods:
        return [(Cell("–", status="none"), Cell("–", status="none"))] * len(methods)
    at = methods.index(reference)
    others = [i for i in range(len(methods)) if i != at]
    p = wilcoxon_against(blocks, at)
    adjusted = dict(zip(others, holm(np.array([p[i] for i in others])), strict=True))
    runs = [np.stack([scores[i] for scores in by_seed], axis=1) for i in range(len(methods))]
    found = []
    for i in range(len(methods)):
        better = math.nan if i == at else float(probability_of_improvement(runs[i], runs[at]))
        found.append((_percent(better, math.nan, math.nan), _p(float(adjusted.get(i, math.nan)))))
    return found


def _percent(value: float, low: float, high: float) -> Cell:
    if math.isnan(value):
        return Cell("–", status="none")
    return Cell(f"{value * 100:.1f}", value, low=low, high=high)


def _p(value: float) -> Cell:
    return Cell("–", status="none") if math.isnan(value) else Cell(write_p(value), value)


def write_p(p: float) -> str:
    """A p-value with two digits."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def _caption(blocks: np.ndarray, methods: list[str], reference: str) -> str:
    text = "Mean ranks with 95 % bootstrap intervals. "
    if len(methods) > 2:
        _, p = friedman(blocks)
        says = "the methods do not all rank alike" if p < LEVEL else "no order shows over the tasks"
        text += f"Friedman's test over {len(blocks)} blocks: p {write_p(p)}, {says}. "
    smallest = smallest_signed_rank_p(len(blocks))
    if reference in methods:
        text += f"Signed-rank tests are against {reference}, Holm-corrected"
        comparisons = len(methods) - 1
        if smallest * comparisons >= LEVEL:
            text += (
                f"; with {len(blocks)} blocks and {comparisons} comparisons none can reach {LEVEL} "
                f"(the smallest possible p is {min(1.0, smallest * comparisons):.2g}): not separable by design"
            )
        text += "."
    return text
