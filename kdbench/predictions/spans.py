"""Predicted answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kdbench.answers.decoding import Candidates, Windows, best_texts, decode, nbest_texts
from kdbench.answers.metrics import answer_scores, compute_answer_metric
from kdbench.inputs.spans import EncodedSpans
from kdbench.tasks.dataset import SpanExamples
from kdbench.tasks.spec import SpanFormat


def read_candidates(data: EncodedSpans, logits: np.ndarray, form: SpanFormat) -> Candidates:
    """Decode ``(tokens of all windows, 2)`` start and end logits."""
    windows = Windows(data.starts, data.examples, data.context, data.offsets)
    return decode(logits, windows, data.questions, form)


@dataclass(frozen=True)
class SpanPredictions:
    """The best answers to each question, and how right the first of them is.

    Attributes:
        texts: of the predicted answers; empty where none is predicted.
        exact: ``(n,)`` exact match with a reference, 0 or 1.
        f1: ``(n,)`` token F1 with the closest reference, in [0, 1].
    """

    examples: SpanExamples
    candidates: Candidates
    texts: list[str]
    exact: np.ndarray
    f1: np.ndarray

    @classmethod
    def read(cls, examples: SpanExamples, data: EncodedSpans, logits: np.ndarray, form: SpanFormat) -> SpanPredictions:
        """Decode, and compare with the references."""
        candidates = read_candidates(data, logits, form)
        texts = best_texts(candidates, examples.pairs or [])
        return cls(examples, candidates, texts, *answer_scores(texts, examples.answers))

    def score(self, metric: str, rows: np.ndarray | None = None) -> float:
        """One of :data:`kdbench.answers.metrics.METRICS`."""
        chosen = slice(None) if rows is None else rows
        answerable = self.examples.labels[chosen].astype(bool)
        return compute_answer_metric(metric, self.exact[chosen], self.f1[chosen], answerable)

    def table(self) -> pd.DataFrame:
        """The predicted text and its characters in the context (-1 for no answer), how right it is, how sure, n-best.

        ``label`` is 1 where there is an answer. ``confidence`` is the probability of the prediction among all spans.
        ``null_difference``: score of no answer less that of the best span; NaN where every question has an answer.
        """
        found, first = self.candidates, self.candidates.first[:-1]
        return pd.DataFrame(
            {
                "id": self.examples.ids,
                "label": self.examples.labels,
                "prediction": self.texts,
                "start": found.start[first],
                "end": found.end[first],
                "confidence": found.probability[first],
                "null_difference": found.null_difference,
                "exact_match": self.exact,
                "token_f1": self.f1,
                "nbest": nbest_texts(found, self.examples.pairs or []),
                "nbest_probability": found.probabilities(),
            }
        )
