"""A small real victim and its examples; run as a script, it attacks them and prints the outcomes as JSON."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import NoReturn

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from kdbench.attacks.spec import ATTACKS
from kdbench.attacks.text import AttackOutcome, TextExample, attack_texts

GOOD = [
    "a wonderful and charming film with great acting",
    "truly brilliant, a moving story that stays with you",
    "delightful, funny and clever from start to finish",
    "great cast and a beautiful script",
    "an excellent and enjoyable movie for the whole family",
    "the best comedy of the year, smart and warm",
    "I loved every minute of this lovely little picture",
    "superb direction makes this a thrilling ride",
    "fresh, honest and surprisingly touching",
    "a gripping drama with fine performances",
]
BAD = [
    "a terrible and boring film with awful acting",
    "truly stupid, a tedious story that goes nowhere",
    "dull, unfunny and lazy from start to finish",
    "bad cast and an ugly script",
    "a horrible and annoying movie for nobody at all",
    "the worst comedy of the year, crude and cold",
    "I hated every minute of this sloppy little picture",
    "poor direction makes this a painful ride",
    "stale, fake and surprisingly empty",
    "a lifeless drama with weak performances",
]
EXAMPLES = [
    TextExample("best", "the best and funny drama with a warm heart", None, 1),
    TextExample("wrong", "a great film, they said; it is not", None, 0),
    TextExample("worst", "the worst film: dull, stupid, lazy, ugly, and a painful story from start to end", None, 0),
    TextExample("great", "great fun", None, 1),
    TextExample("moving", "It's a moving, honest story -- with a brilliant cast!", None, 1),
    TextExample("awful", "Awful. Truly awful acting", None, 0),
]


class BagOfWords:
    """Logistic regression over word counts; of a pair it reads both texts, with one weight per column."""

    num_labels = 2

    def __init__(self, scale: float = 1.0) -> None:
        self.vectorizer = CountVectorizer()
        counts = self.vectorizer.fit_transform(GOOD + BAD)
        self.model = LogisticRegression().fit(counts, [1] * len(GOOD) + [0] * len(BAD))
        self.scale = scale
        self.asked: list[tuple[str, str | None]] = []

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        self.asked += [(text, pairs[row] if pairs else None) for row, text in enumerate(texts)]
        margin = self.model.decision_function(self.vectorizer.transform(texts))
        if pairs is not None:
            margin = margin + 0.5 * self.model.decision_function(self.vectorizer.transform(pairs))
        return (self.scale * np.stack([-margin / 2, margin / 2], axis=1)).astype(np.float32)

    def predict(self, text: str, pair: str | None = None) -> int:
        return int(self.logits([text], None if pair is None else [pair]).argmax())


def run(name: str, examples: Sequence[TextExample] = EXAMPLES, seed: int = 0) -> list[AttackOutcome]:
    """Attack ``examples`` with a fresh victim and a budget none of them reaches."""
    spec = ATTACKS.get(name)
    return attack_texts(BagOfWords(), examples, spec, perturb="text", query_budget=5000, seed=seed)


def _no_network(*_args: object, **_kwargs: object) -> NoReturn:
    raise AssertionError("the network was used")


def _main() -> None:
    """Import TextAttack without network beside somebody else's log file and environment, and attack."""
    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, _no_network)
    socket.getaddrinfo = socket.create_connection = _no_network
    logging.getLogger().addHandler(logging.FileHandler("log", mode="w"))
    mine = logging.getLogger("mine")
    changed_by_textattack = (
        "HF_HOME",
        "XDG_CACHE_HOME",
        "TA_CACHE_DIR",
        "TOKENIZERS_PARALLELISM",
        "TFHUB_CACHE_DIR",
    )
    found = {name: [asdict(outcome) for outcome in run(name)] for name in sys.argv[1:]}
    if any(variable in os.environ for variable in changed_by_textattack):
        raise AssertionError("the environment was changed")
    if "kdbench" in sys.modules["huggingface_hub.constants"].HF_HOME:
        raise AssertionError("the model cache was redirected")
    mine.warning("still here")
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    _main()
