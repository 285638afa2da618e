"""Decoding by loops over questions, windows, starts and ends: slow, and easy to believe."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kdbench.answers.decoding import Windows
from kdbench.tasks.spec import SpanFormat


@dataclass
class Window:
    """One window: its question, its context's tokens as characters [start, end), tokens before and after them."""

    question: int
    context: list[tuple[int, int]]
    before: int = 1
    after: int = 1


def pack(layout: list[Window]) -> Windows:
    """The flat arrays."""
    sizes = [window.before + len(window.context) + window.after for window in layout]
    offsets = [[(0, 0)] * w.before + w.context + [(0, 0)] * w.after for w in layout]
    return Windows(
        starts=np.cumsum([0, *sizes]),
        examples=np.array([window.question for window in layout], dtype=np.int64),
        context=np.array([(w.before, w.before + len(w.context)) for w in layout], dtype=np.int64),
        offsets=np.array([pair for window in offsets for pair in window], dtype=np.int32).reshape(-1, 2),
    )


@dataclass
class Ranking:
    """What decoding should give for one question: (start, end, score, probability), best first."""

    rows: list[tuple[int, int, float, float]]
    null_difference: float


def rank(logits: np.ndarray, layout: list[Window], questions: int, form: SpanFormat) -> list[Ranking]:
    """The rules, one question after the other."""
    return [_rank(logits, layout, question, form) for question in range(questions)]


def _rank(logits: np.ndarray, layout: list[Window], question: int, form: SpanFormat) -> Ranking:
    spans: dict[tuple[int, int], list[float]] = {}
    null, at = math.inf, 0
    for window in layout:
        rows = logits[at : at + window.before + len(window.context) + window.after]
        at += len(rows)
        if window.question != question:
            continue
        null = min(null, float(rows[0, 0] + rows[0, 1]))
        for i, (first, first_end) in enumerate(window.context):
            for j, (last, last_end) in enumerate(window.context):
                if i <= j < i + form.max_answer and first < first_end and last < last_end:
                    score = float(rows[window.before + i, 0] + rows[window.before + j, 1])
                    spans.setdefault((first, last_end), []).append(score)
    order = sorted(spans, key=lambda span: (-max(spans[span]), span))
    if not order:
        return Ranking([(-1, -1, null, 1.0)], math.inf if form.unanswerable else math.nan)
    difference = null - max(spans[order[0]])
    scores = [score for copies in spans.values() for score in copies] + [null] * form.unanswerable
    top = max(scores)
    total = sum(math.exp(score - top) for score in scores)
    rows = [(*span, max(spans[span]), sum(math.exp(s - top) for s in spans[span]) / total) for span in order]
    if form.unanswerable:
        nothing = (-1, -1, null, math.exp(null - top) / total)
        behind = 1 + sum(row[2] > null for row in rows[1:])
        rows.insert(0 if difference > form.null_threshold else behind, nothing)
    return Ranking(rows[: form.n_best], difference if form.unanswerable else math.nan)
