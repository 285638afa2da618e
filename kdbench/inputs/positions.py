"""Where answers stand: in the characters of a context, in its tokens, and in the windows it was cut into."""

from __future__ import annotations

import numpy as np

from kdbench.errors import DataError
from kdbench.inputs.windows import Cuts, Tokens
from kdbench.tasks.dataset import SpanExamples


def answer_spans(examples: SpanExamples, *, strict: bool = True) -> np.ndarray:
    """Characters of each question's first reference, ``(n, 2)`` int64 start and stop; (0, 0) without one.

    White space around an answer does not count, neither in its text nor where it starts.

    Raises:
        DataError: an answer does not stand where it is said to; unless ``strict``, it then counts as none.
    """
    spans = np.zeros((len(examples), 2), dtype=np.int64)
    for row, (context, answers, starts) in enumerate(
        zip(examples.pairs or [], examples.answers, examples.answer_starts, strict=True)
    ):
        if not answers:
            continue
        text, start = answers[0].strip(), starts[0]
        while start < len(context) and context[start].isspace():
            start += 1
        if not text or starts[0] < 0 or not context.startswith(text, start):
            if not strict:
                continue
            raise DataError(
                f"question {examples.ids[row]}: its answer {answers[0]!r} does not stand at character {starts[0]} of "
                "its context: correct or drop the row"
            )
        spans[row] = start, start + len(text)
    return spans


def answer_tokens(spans: np.ndarray, contexts: Tokens, about: np.ndarray) -> np.ndarray:
    """Tokens of the contexts that share a character with each span, ``(n, 2)`` the first and the first after them.

    The two are equal or reversed where there are none.

    Args:
        spans: ``(n, 2)`` characters.
        about: ``(n,)`` which context a span is of.
    """
    assert contexts.offsets is not None
    # every context gets a stretch of the number line, so that one search in sorted numbers serves all
    stretch = 1 + max(contexts.offsets.max(initial=0), spans.max(initial=0))
    places = contexts.offsets + stretch * np.repeat(np.arange(len(contexts.lengths)), contexts.lengths)[:, None]
    wanted = spans + stretch * about[:, None]
    first = np.searchsorted(places[:, 1], wanted[:, 0], side="right")
    stop = np.searchsorted(places[:, 0], wanted[:, 1], side="left")
    found: np.ndarray = np.stack([first, stop], axis=1) - contexts.starts[about][:, None]
    return found


def locate(answers: np.ndarray, cuts: Cuts, begins: np.ndarray) -> np.ndarray:
    """First and last token of the answer in each window, ``(windows, 2)`` int64; (0, 0) where it is not whole.

    Args:
        answers: ``(n, 2)`` from :func:`answer_tokens`.
        begins: ``(windows,)`` positions of the first context token.
    """
    first, stop = answers[cuts.examples].T
    whole = (first < stop) & (first >= cuts.first) & (stop <= cuts.stop)
    inside = np.stack([first, stop - 1], axis=1) + (begins - cuts.first)[:, None]
    labels: np.ndarray = np.where(whole[:, None], inside, 0)
    return labels


def clip(answers: np.ndarray, cuts: Cuts, begins: np.ndarray) -> np.ndarray:
    """What each window holds of the answer, ``(windows, 2)`` int64 the first token and the first after it.

    Args:
        answers, begins: as in :func:`locate`.
    """
    first, stop = answers[cuts.examples].T
    inside = np.stack([np.clip(first, cuts.first, cuts.stop), np.clip(stop, cuts.first, cuts.stop)], axis=1)
    inside[:, 1] = np.maximum(inside[:, 0], inside[:, 1])
    clipped: np.ndarray = inside + (begins - cuts.first)[:, None]
    return clipped
