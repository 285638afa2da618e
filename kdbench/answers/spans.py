"""The best spans of single windows: one banded array of scores a chunk, no loop over windows or tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

BAND_BYTES = 8 * 2**20
"""What the scores of a chunk of windows may take: ``(windows, tokens, longest answer)`` float32."""


@dataclass(frozen=True)
class Windows:
    """What decoding must know about a split of windows.

    Attributes:
        starts: ``(windows + 1,)`` int64, where each window's tokens begin in the flat arrays.
        examples: ``(windows,)`` int64, ascending: the question each window belongs to.
        context: ``(windows, 2)`` int64, first and one past the last token of the context, counted in the window.
        offsets: ``(tokens, 2)`` int32, characters [start, end) of context tokens in the context, neither of
            which ever decreases within a window; (0, 0) elsewhere.
    """

    starts: np.ndarray
    examples: np.ndarray
    context: np.ndarray
    offsets: np.ndarray

    @cached_property
    def owners(self) -> np.ndarray:
        """``(tokens,)`` int64, the window of each token."""
        return np.repeat(np.arange(len(self.examples)), np.diff(self.starts))

    @cached_property
    def edges(self) -> np.ndarray:
        """``(tokens,)`` bool, where an answer may start or end: context tokens that cover a character.

        Byte-level tokenisers have tokens that cover none, such as the second of two spaces.
        """
        position = np.arange(len(self.owners)) - self.starts[self.owners]
        first, last = self.context[self.owners].T
        edges: np.ndarray = (position >= first) & (position < last) & (self.offsets[:, 0] < self.offsets[:, 1])
        return edges


@dataclass(frozen=True)
class Spans:
    """The best spans of every window.

    Attributes:
        start: ``(spans,)`` int64, first token of each in the flat arrays.
        end: ``(spans,)`` int64, last token.
        score: ``(spans,)`` float32, start logit + end logit.
        log_total: ``(windows,)`` float64, log of the sum of exp(score) over all admissible spans; -inf without any.
    """

    start: np.ndarray
    end: np.ndarray
    score: np.ndarray
    log_total: np.ndarray


def best_spans(logits: np.ndarray, windows: Windows, max_answer: int, n_best: int) -> Spans:
    """The spans among which are the ``n_best`` best answers of every window.

    A span is admissible when it starts and ends on an edge (:attr:`Windows.edges`), ends no earlier than it
    starts and has at most ``max_answer`` tokens. Equal scores go to the earlier start, then the earlier end.

    Args:
        logits: ``(tokens, 2)`` float32 start and end logits.
        windows: where the windows are in them.
        max_answer: tokens of the longest answer.
        n_best: different answers, told by their characters, that a window must yield if it has so many.
    """
    start, end = np.where(windows.edges, logits.T, np.float32(-np.inf))
    lengths = windows.context[:, 1] - windows.context[:, 0]
    copies = _copies(windows)
    log_total = np.full(len(lengths), -np.inf)
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
    for chunk in _chunks(lengths, copies, max_answer):
        first = windows.starts[chunk] + windows.context[chunk, 0]
        keep = n_best * int(copies[chunk[0]])
        *best, log_total[chunk] = _best_of_chunk(start, end, first, lengths[chunk], max_answer, keep)
        parts.append((best[0], best[1], best[2]))
    starts, ends, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Spans(starts, ends, scores, log_total)


def _copies(windows: Windows) -> np.ndarray:
    """How many spans of each window may have the same characters: ``(windows,)``, 0 without any edge.

    More than one where a tokeniser splits a character, so that several tokens have the same offsets.
    """
    owner = windows.owners[windows.edges]
    copies = np.ones(len(windows.examples), dtype=np.int64)
    for characters in windows.offsets[windows.edges].T:
        begins = np.flatnonzero((np.diff(owner, prepend=-1) != 0) | (np.diff(characters, prepend=-1) != 0))
        longest = np.zeros_like(copies)
        np.maximum.at(longest, owner[begins], np.diff(begins, append=len(owner)))
        copies *= longest
    return copies


def _chunks(lengths: np.ndarray, copies: np.ndarray, max_answer: int) -> Iterator[np.ndarray]:
    """Windows of similar length and as many copies, together within ``BAND_BYTES`` or alone."""
    for count in np.unique(copies[copies > 0]):
        rest = np.flatnonzero(copies == count)
        rest = rest[np.argsort(-lengths[rest], kind="stable")]
        while len(rest):
            rows = max(1, BAND_BYTES // (4 * max_answer * int(lengths[rest[0]])))
            yield rest[:rows]
            rest = rest[rows:]


def _best_of_chunk(
    start: np.ndarray, end: np.ndarray, first: np.ndarray, lengths: np.ndarray, max_answer: int, keep: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Best ``keep`` spans of each window: start tokens, end tokens, scores; and the windows' log totals.

    Args:
        start: ``(tokens,)`` float32 start logits, -inf where no answer starts.
        end: ``(tokens,)`` float32 end logits, -inf where no answer ends.
        first: ``(windows,)`` first token of each window's context, in the flat arrays.
        lengths: ``(windows,)`` tokens of it.
    """
    columns = np.arange(lengths.max())
    width = min(max_answer, len(columns))
    inside = columns < lengths[:, None]
    tokens = np.where(inside, first[:, None] + columns, 0)
    starts = np.where(inside, start[tokens], np.float32(-np.inf))
    ends = np.full((len(first), len(columns) + width - 1), -np.inf, dtype=np.float32)
    ends[:, : len(columns)] = np.where(inside, end[tokens], np.float32(-np.inf))
    band = starts[:, :, None] + np.lib.stride_tricks.sliding_window_view(ends, width, axis=1)

    # A start outside the best `keep` starts has `keep` others before it, each with a span before all of its own.
    peaks = band.max(axis=2)
    chosen = np.sort(np.argsort(-peaks, axis=1, kind="stable")[:, :keep], axis=1)
    scores = np.take_along_axis(band, chosen[:, :, None], axis=1).reshape(len(first), -1)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :keep]
    scores = np.take_along_axis(scores, best, axis=1)
    begin = first[:, None] + np.take_along_axis(chosen, best // width, axis=1)
    admissible = scores > -np.inf

    top = peaks.max(axis=1)
    band -= top[:, None, None]
    total = np.exp(band, out=band).sum(axis=(1, 2), dtype=np.float64)
    return begin[admissible], (begin + best % width)[admissible], scores[admissible], top + np.log(total)
