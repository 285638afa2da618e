"""Texts: token ids as flat arrays, and batches cut from them, padded to their longest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from kdbench.inputs.base import DenseLogits, Inputs, Reader
from kdbench.tasks.dataset import TextExamples

WIDTHS = 4  # few different shapes: every new one costs the matrix library time, and megabytes that it keeps


@dataclass(frozen=True)
class EncodedTexts(DenseLogits):
    """A tokenised split; row ``i`` is ``tokens[starts[i]:starts[i + 1]]``.

    Attributes:
        tokens: ``(total,)`` int64, all rows one after another.
        types: ``(total,)`` int64 segment ids, or nothing when the tokenizer makes none.
        starts: ``(n + 1,)`` int64.
        labels: ``(n,)`` int64 classes or float32 scores.
        pad: the padding token.
    """

    tokens: np.ndarray
    types: np.ndarray | None
    starts: np.ndarray
    labels: np.ndarray
    pad: int

    augmented: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray:
        """``(n,)`` tokens in each row."""
        return np.diff(self.starts)

    def to(self, device: torch.device) -> EncodedTexts:
        """Itself: token ids are few, and padded on the CPU."""
        return self

    def collate(self, rows: np.ndarray, view: int | None = None) -> Inputs:
        """Model inputs of some rows, ``(batch, width)`` int64, padded on the right; the same in every view.

        ``width`` is :func:`padded_width`.
        """
        lengths = self.lengths[rows]
        real = np.arange(padded_width(lengths)) < lengths[:, None]
        positions = ranges(self.starts[rows], lengths)
        ids = np.full(real.shape, self.pad, dtype=np.int64)
        ids[real] = self.tokens[positions]
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(real.astype(np.int64))}
        if self.types is not None:
            types = np.zeros(real.shape, dtype=np.int64)
            types[real] = self.types[positions]
            inputs["token_type_ids"] = torch.from_numpy(types)
        return inputs

    def by_length(self, batch_size: int) -> Iterator[np.ndarray]:
        """All rows in batches of similar length, longest first (so memory peaks at once)."""
        order = np.argsort(-self.lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            yield order[start : start + batch_size]


@dataclass(frozen=True)
class TokenReader:
    """A tokenizer, and the length at which inputs are cut."""

    tokenizer: PreTrainedTokenizerBase
    max_length: int

    def save(self, folder: Path) -> None:
        """The tokenizer's files."""
        self.tokenizer.save_pretrained(folder)

    def differs(self, other: Reader) -> str | None:
        """Two models can share token ids only when they share their whole vocabulary."""
        assert isinstance(other, TokenReader)
        if self.tokenizer.get_vocab() == other.tokenizer.get_vocab():
            return None
        return (
            f"do not share one vocabulary ({len(self.tokenizer)} and {len(other.tokenizer)} tokens): "
            "a pair needs models of one tokenizer family"
        )


@dataclass(frozen=True)
class TextReader(TokenReader):
    """How texts are read, alone or in pairs."""

    def encode(self, examples: TextExamples) -> EncodedTexts:
        """Tokenise a split in one pass."""
        return encode(examples, self.tokenizer, self.max_length)


def encode(examples: TextExamples, tokenizer: PreTrainedTokenizerBase, max_length: int) -> EncodedTexts:
    """Tokenise a split in one pass; rows are cut at ``max_length`` or what the model can read."""
    names = tokenizer.model_input_names
    batch = tokenizer(
        examples.texts,
        examples.pairs,
        truncation=True,
        max_length=min(max_length, tokenizer.model_max_length),
        return_attention_mask=False,
        return_token_type_ids="token_type_ids" in names,
    )
    lengths = [len(ids) for ids in batch["input_ids"]]
    types = batch.get("token_type_ids")
    return EncodedTexts(
        tokens=_flat(batch["input_ids"]),
        types=None if types is None else _flat(types),
        starts=starts_of(np.array(lengths)),
        labels=examples.labels,
        pad=int(tokenizer.pad_token_id),
    )


def padded_width(lengths: np.ndarray) -> int:
    """How wide a batch of rows of these lengths is: the longest, rounded up to a multiple of ``WIDTHS``."""
    return int(-(-lengths.max() // WIDTHS) * WIDTHS)


def starts_of(lengths: np.ndarray) -> np.ndarray:
    """``(n + 1,)`` int64 places where rows of these lengths start in a flat array, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """``starts[0], starts[0] + 1, …`` of ``lengths[0]`` numbers, then those of the next start, all in one array."""
    before = np.cumsum(lengths) - lengths
    numbers: np.ndarray = np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
    return numbers


def _flat(rows: list[list[int]]) -> np.ndarray:
    return np.fromiter((token for row in rows for token in row), dtype=np.int64)
