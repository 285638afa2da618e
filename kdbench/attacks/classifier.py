"""A text classifier under attack."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from lru import LRU
from transformers import PreTrainedModel

from kdbench.attacks.first_token import only_first_token, reads_first_token_only
from kdbench.attacks.gradients import token_gradients, word_vectors
from kdbench.attacks.text import Column
from kdbench.inputs.run import logits_of, run
from kdbench.inputs.text import EncodedTexts, TextReader
from kdbench.tasks.dataset import TextExamples

REMEMBERED = 2**18
"""Texts whose logits are remembered, those asked about last: some 60 MB."""

TOKENS = {"cpu": 1024, "cuda": 65536}
"""Tokens in a batch, padding included. On a CPU larger ones leave the caches, on a GPU they hide the overhead."""


class ClassifierVictim:
    """A classifier as attacks see it: texts in, logits out, in fp32.

    What the tokenizer cannot tell apart is read once, and remembered: so an edit that the model cannot see, a capital
    letter for instance, changes no score, not even by the rounding of another batch. Batches hold texts of like
    lengths, so that hardly anything is padded.

    Attributes:
        device: where the model is.
        calls: how often :meth:`logits` was called.
        batches: forward passes of the model.
        rows: texts in them.
        shortened: whether the last layer is run for the first token only; found out with the first batch.
    """

    def __init__(self, model: PreTrainedModel, reader: TextReader, tokens: int | None = None) -> None:
        """The model is attacked where it is, in evaluation mode.

        Args:
            model: the classifier.
            reader: how it reads texts.
            tokens: size of a batch; by default what suits the device.
        """
        self.model = model.eval()
        self.reader = reader
        self.num_labels = int(model.config.num_labels)
        self.device = model.device.type
        self.tokens = tokens or TOKENS.get(self.device, TOKENS["cpu"])
        self.known: Any = LRU(REMEMBERED)
        self.shortened: bool | None = None
        self.calls = self.batches = self.rows = 0

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        """Logits ``(len(texts), classes)``, float32."""
        data = self.reader.encode(_examples(texts, pairs))
        inputs = _contents(data)
        found = {content: self.known[content] for content in inputs if content in self.known}
        asked = {content: row for row, content in enumerate(inputs) if content not in found}
        found |= zip(asked, self._forward(data, np.fromiter(asked.values(), np.int64)), strict=True)
        self.known.update({content: found[content] for content in asked})
        self.calls += 1
        return np.stack([found[content] for content in inputs])

    def _forward(self, data: EncodedTexts, rows: np.ndarray) -> np.ndarray:
        logits = np.empty((len(rows), self.num_labels), np.float32)
        for part in self._batches(data.lengths[rows]):
            inputs = {name: value.to(self.model.device) for name, value in data.collate(rows[part]).items()}
            if self.shortened is None:
                self.shortened = reads_first_token_only(self.model, inputs)
            with torch.inference_mode(), only_first_token(self.model) if self.shortened else nullcontext():
                logits[part] = logits_of(run(self.model, inputs), inputs).cpu().numpy()
        self.rows += len(rows)
        return logits

    def gradient(self, text: str, pair: str | None, column: Column) -> tuple[list[str], np.ndarray]:
        """See :class:`kdbench.attacks.text.GradientVictim`."""
        return token_gradients(self.model, self.reader, text, pair, column)

    def vectors(self, words: Sequence[str]) -> np.ndarray:
        """See :class:`kdbench.attacks.text.GradientVictim`."""
        return word_vectors(self.model, self.reader, words)

    def _batches(self, lengths: np.ndarray) -> Iterator[np.ndarray]:
        """All rows, longest first, as many at once as the tokens of a batch allow."""
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            count = max(1, self.tokens // int(lengths[order[start]]))
            yield order[start : start + count]
            start += count
            self.batches += 1


def _examples(texts: Sequence[str], pairs: Sequence[str] | None) -> TextExamples:
    return TextExamples(
        ids=[""] * len(texts),
        labels=np.zeros(len(texts), np.int64),
        groups=None,
        texts=list(texts),
        pairs=None if pairs is None else list(pairs),
    )


def _contents(data: EncodedTexts) -> list[bytes]:
    """For each row 16 bytes that stand for what the model reads."""
    arrays = [data.tokens] if data.types is None else [data.tokens, data.types]
    return [
        hashlib.blake2b(b"".join(array[start:stop].tobytes() for array in arrays), digest_size=16).digest()
        for start, stop in itertools.pairwise(data.starts)
    ]
