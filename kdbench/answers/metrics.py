"""SQuAD's metrics (Rajpurkar et al., EMNLP 2016; ACL 2018), by the rules of its official 2.0 script.

The scripts of 1.1 and 2.0 differ only where a text normalises to nothing (``""``, ``"the"``, ``"?"``):

* 2.0 drops such references, and a question left without any is taken as unanswerable; 1.1 keeps them.
* 2.0's F1 of two empty texts is 1; 1.1's is 0, although its exact match is 1.

The rules here are 2.0's for both sets, so a question has one score whichever set it comes from.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

METRICS = ("exact_match", "token_f1", "hasans_exact_match", "hasans_token_f1", "noans_exact_match")

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalize_answer(text: str) -> str:
    """Lower case without ASCII punctuation and articles, words parted by single spaces.

    Everything else of Unicode stays: accents, typographic quotes and dashes.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1.0 if the prediction equals a reference after normalisation, else 0.0.

    Args:
        prediction: the answer, ``""`` for "no answer".
        references: all correct answers; none for an unanswerable question.
    """
    return _scores(prediction, references)[0]


def token_f1(prediction: str, references: Sequence[str]) -> float:
    """F1 of the bags of normalised words, the best over the references, in [0, 1].

    Args:
        prediction: the answer, ``""`` for "no answer".
        references: all correct answers; none for an unanswerable question.
    """
    return _scores(prediction, references)[1]


def answer_scores(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Exact match and token F1 of every question.

    Args:
        predictions: one answer a question, ``""`` for "no answer".
        references: the correct answers of each question; none where it is unanswerable.

    Returns:
        Two ``(questions,)`` float64 arrays in [0, 1].

    Raises:
        ValueError: the two differ in length.
    """
    scores = [_scores(text, correct) for text, correct in zip(predictions, references, strict=True)]
    exact, f1 = np.array(scores, dtype=np.float64).reshape(-1, 2).T
    return exact, f1


def compute_answer_metric(name: str, exact: np.ndarray, f1: np.ndarray, answerable: np.ndarray) -> float:
    """One metric of a split: the mean over the questions it looks at.

    Args:
        name: one of ``METRICS``; ``hasans_`` looks at answerable questions only, ``noans_`` at the others.
            F1 and exact match are the same thing on the latter.
        exact: ``(questions,)`` from :func:`answer_scores`.
        f1: ``(questions,)`` from :func:`answer_scores`.
        answerable: ``(questions,)`` bool.

    Returns:
        The mean in [0, 1]; 0 where there is no such question.

    Raises:
        ValueError: unknown name.
    """
    everything = np.ones_like(answerable, dtype=bool)
    match name:
        case "exact_match":
            values, subset = exact, everything
        case "token_f1":
            values, subset = f1, everything
        case "hasans_exact_match":
            values, subset = exact, answerable
        case "hasans_token_f1":
            values, subset = f1, answerable
        case "noans_exact_match":
            values, subset = exact, ~answerable
        case _:
            raise ValueError(f"unknown metric '{name}'")
    return float(values[subset].mean()) if subset.any() else 0.0


def _scores(prediction: str, references: Sequence[str]) -> tuple[float, float]:
    found = normalize_answer(prediction)
    # Equal references count once; the empty one stands for "no answer".
    correct = {normalize_answer(reference) for reference in references} - {""} or {""}
    if found in correct:
        return 1.0, 1.0
    return 0.0, max(_f1(found.split(), reference.split()) for reference in correct)


def _f1(found: list[str], correct: list[str]) -> float:
    common = (Counter(found) & Counter(correct)).total()
    return 2 * common / (len(found) + len(correct)) if common else 0.0
