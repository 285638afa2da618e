"""From start and end logits of windows to the n best answers of every question (Devlin et al., NAACL 2019, 4.2-4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from kdbench.answers.spans import Spans, Windows, best_spans
from kdbench.tasks.spec import SpanFormat

__all__ = ["Candidates", "Windows", "best_texts", "decode", "nbest_texts"]


@dataclass(frozen=True)
class Candidates:
    """The best answers of every question, best first.

    Attributes:
        first: ``(questions + 1,)`` int64, where each question's candidates begin; every question has one.
        start: ``(candidates,)`` int64, first character in the context; -1 for "no answer".
        end: ``(candidates,)`` int64, one past the last character; -1 for "no answer".
        score: ``(candidates,)`` float32, start logit + end logit, the best of the windows'.
        probability: ``(candidates,)`` float64, share in the softmax over all admissible spans of all windows of
            the question, and "no answer" where it is a candidate; copies of an answer add up.
        null_difference: ``(questions,)`` float64, score of "no answer" - score of the best span, inf without
            a span; NaN when every question has an answer.
    """

    first: np.ndarray
    start: np.ndarray
    end: np.ndarray
    score: np.ndarray
    probability: np.ndarray
    null_difference: np.ndarray

    def probabilities(self) -> list[np.ndarray]:
        """Those of each question's candidates, best first."""
        return np.split(self.probability, self.first[1:-1])


def decode(logits: np.ndarray, windows: Windows, questions: int, form: SpanFormat) -> Candidates:
    """The ``form.n_best`` best answers of every question.

    A span is admissible when both edges are context tokens of one window that cover a character, and it has
    1 to ``form.max_answer`` tokens. The same characters, seen in several windows, are one answer. Candidates
    rank by score, then earlier start, then earlier end.

    "No answer" scores the lowest start + end logit of the first token over the question's windows: each
    window must say so. With ``form.unanswerable`` it comes first exactly when it beats the best span by more
    than ``form.null_threshold``. Otherwise the best span comes first, and "no answer" takes its place by
    score among the others, before those of equal score. A question without any admissible span has it as
    its one candidate in any case.

    Args:
        logits: ``(tokens, 2)`` start and end logits, windows in a row.
        windows: where they are, and which characters their tokens cover.
        questions: how many; each has at least one window.
        form: what an answer may be.

    Raises:
        ValueError: a logit is not finite, or a question has no window.
    """
    if not np.isfinite(logits).all():
        raise ValueError("logits hold NaN or infinity: no answer can be read from them")
    if not np.bincount(windows.examples, minlength=questions).all():
        raise ValueError("every question needs a window, also one with an empty context")
    logits = logits.astype(np.float32, copy=False)
    spans = best_spans(logits, windows, form.max_answer, form.n_best)
    answers = _distinct(spans, windows, form.n_best)
    null = np.full(questions, np.inf, dtype=np.float32)
    np.minimum.at(null, windows.examples, logits[windows.starts[:-1]].sum(axis=1))
    best = np.full(questions, -np.inf, dtype=np.float32)
    np.maximum.at(best, answers.question, answers.score)
    difference = null.astype(np.float64) - best
    nullable = np.isinf(best) | form.unanswerable
    log_total = np.full(questions, -np.inf)
    np.logaddexp.at(log_total, windows.examples, spans.log_total)
    log_total = np.where(nullable, np.logaddexp(log_total, null), log_total)

    nulls = np.flatnonzero(nullable)
    nowhere = np.full(len(nulls), -1)
    every = answers.join(_Answers(nulls, nowhere, nowhere, null[nulls]))
    share = np.concatenate([_shares(answers, logits, windows, form, log_total), np.exp(null - log_total)[nulls]])
    # "No answer" is before (-1) or behind (1) the best span (0), whatever the scores are.
    tier = np.concatenate([_rank(answers.question) > 0, np.where(difference[nulls] > form.null_threshold, -1, 1)])
    order = np.lexsort((every.end, every.start, -every.score, tier, every.question))
    order = order[_rank(every.question[order]) < form.n_best]
    ranked = every.take(order)
    return Candidates(
        first=np.searchsorted(ranked.question, np.arange(questions + 1)),
        start=ranked.start,
        end=ranked.end,
        score=ranked.score,
        probability=np.minimum(share[order], 1.0),  # float32 scores: a sum may round to above 1
        null_difference=difference if form.unanswerable else np.full(questions, np.nan),
    )


def best_texts(candidates: Candidates, contexts: Sequence[str]) -> list[str]:
    """The best answer of each question, ``""`` for "no answer"; ``contexts`` has one context a question."""
    starts, ends = candidates.start[candidates.first[:-1]], candidates.end[candidates.first[:-1]]
    return [_text(*span) for span in zip(contexts, starts.tolist(), ends.tolist(), strict=True)]


def nbest_texts(candidates: Candidates, contexts: Sequence[str]) -> list[list[str]]:
    """All candidates of each question, best first, ``""`` for "no answer"; one context a question."""
    repeated = [context for context, n in zip(contexts, np.diff(candidates.first), strict=True) for _ in range(n)]
    spans = zip(repeated, candidates.start.tolist(), candidates.end.tolist(), strict=True)
    texts, first = [_text(*span) for span in spans], candidates.first.tolist()
    return [texts[begin:end] for begin, end in pairwise(first)]


def _text(context: str, start: int, end: int) -> str:
    return context[start:end] if start >= 0 else ""


@dataclass(frozen=True)
class _Answers:
    """Answers in rows: question, characters [start, end), score."""

    question: np.ndarray
    start: np.ndarray
    end: np.ndarray
    score: np.ndarray

    def take(self, rows: np.ndarray) -> _Answers:
        return _Answers(self.question[rows], self.start[rows], self.end[rows], self.score[rows])

    def join(self, others: _Answers) -> _Answers:
        pairs = ((getattr(self, field.name), getattr(others, field.name)) for field in fields(self))
        return _Answers(*(np.concatenate(pair) for pair in pairs))


def _distinct(spans: Spans, windows: Windows, n_best: int) -> _Answers:
    """The ``n_best`` best answers of every question, each once, in order."""
    question = windows.examples[windows.owners[spans.start]]
    found = _Answers(question, windows.offsets[spans.start, 0], windows.offsets[spans.end, 1], spans.score)
    found = found.take(np.lexsort((-found.score, found.end, found.start, found.question)))
    columns = (found.question, found.start, found.end)
    found = found.take(np.logical_or.reduce([np.diff(column, prepend=-1) != 0 for column in columns]))
    found = found.take(np.lexsort((found.end, found.start, -found.score, found.question)))
    return found.take(_rank(found.question) < n_best)


def _rank(question: np.ndarray) -> np.ndarray:
    """Place of each row among those of its question, from 0; ``question`` ascends."""
    return np.arange(len(question)) - np.searchsorted(question, question)


def _shares(
    answers: _Answers, logits: np.ndarray, windows: Windows, form: SpanFormat, log_total: np.ndarray
) -> np.ndarray:
    """Probability of each answer: the sum over all spans, in all windows, that have its characters.

    Every token that starts where the answer starts is paired with every one that ends where it ends; few
    are, as windows overlap little and tokens seldom share a character.

    Args:
        log_total: ``(questions,)`` log of what the shares of a question add up to.
    """
    edges = np.flatnonzero(windows.edges)
    # One number for a question and a place in its context.
    factor = int(windows.offsets.max(initial=0)) + 1
    tokens = windows.examples[windows.owners[edges]] * factor
    wanted = answers.question * factor
    starting, low_start, starts = _lookup(tokens + windows.offsets[edges, 0], wanted + answers.start)
    ending, low_end, ends = _lookup(tokens + windows.offsets[edges, 1], wanted + answers.end)

    row = np.repeat(np.arange(len(wanted)), starts * ends)
    pair = _rank(row)
    i = edges[starting[low_start[row] + pair // ends[row]]]
    j = edges[ending[low_end[row] + pair % ends[row]]]
    admissible = (windows.owners[i] == windows.owners[j]) & (i <= j) & (j - i < form.max_answer)
    row, i, j = row[admissible], i[admissible], j[admissible]
    share = np.exp((logits[i, 0] + logits[j, 1]) - log_total[answers.question[row]])
    return np.bincount(row, weights=share, minlength=len(wanted))


def _lookup(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where ``wanted`` are among ``keys``: the order that sorts ``keys``, first place in it, how many places."""
    order = np.argsort(keys, kind="stable")
    low = np.searchsorted(keys[order], wanted, side="left")
    return order, low, np.searchsorted(keys[order], wanted, side="right") - low
