"""A reader that answers questions, under attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from lru import LRU
from transformers import PreTrainedModel

from kdbench.answers.decoding import nbest_texts
from kdbench.inputs.base import Reader
from kdbench.inputs.spans import SpanReader
from kdbench.predictions.spans import read_candidates
from kdbench.tasks.dataset import SpanExamples
from kdbench.training.predict import predict

REMEMBERED = 2**15
"""Questions whose answers are remembered, those asked last."""


class ReaderVictim:
    """A trained reader as attacks see it: questions in, n-best answers out, in fp32, padded to the longest window.

    Questions that the tokenizer cannot tell apart are answered once, and the answers remembered.
    """

    def __init__(self, model: PreTrainedModel, reader: Reader) -> None:
        """The model is attacked where it is."""
        assert isinstance(reader, SpanReader)
        self.model = model
        self.reader = replace(reader, cache=None)  # no query is ever asked again
        self.known: Any = LRU(REMEMBERED)

    def answers(self, questions: Sequence[str], contexts: Sequence[str]) -> list[list[tuple[str, float]]]:
        """n-best answers of each question, best first, with their probabilities."""
        tokens = self.reader.tokenizer(list(questions), add_special_tokens=False)["input_ids"]
        asked = list(zip(map(tuple, tokens), contexts, strict=True))
        found = {key: self.known[key] for key in asked if key in self.known}
        new = {key: question for key, question in zip(asked, questions, strict=True) if key not in found}
        if new:
            found |= zip(new, self._read(list(new.values()), [context for _, context in new]), strict=True)
            self.known.update({key: found[key] for key in new})
        return [found[key] for key in asked]

    def _read(self, questions: list[str], contexts: list[str]) -> list[list[tuple[str, float]]]:
        count = len(questions)
        rows = SpanExamples(
            ids=[""] * count,
            labels=np.zeros(count, np.int64),
            groups=None,
            texts=questions,
            pairs=contexts,
            answers=[()] * count,
            answer_starts=[()] * count,
        )
        data = self.reader.encode(rows)
        found = read_candidates(data, predict(self.model, data, batch_size=32), self.reader.form)
        answers = zip(nbest_texts(found, contexts), found.probabilities(), strict=True)
        return [list(zip(texts, shares.tolist(), strict=True)) for texts, shares in answers]
