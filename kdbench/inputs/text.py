"""Texts: token ids as flat arrays, and batches cut from them, padded to their longest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from kdbench.inputs.base import Inputs, Reader
from kdbench.tasks.dataset import TextExamples

WIDTHS = 4  # few different shapes: every new one costs the matrix library time, and megabytes that it keeps


@dataclass(frozen=True)
class EncodedTexts:
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

        ``width`` is the longest row, rounded up to a multiple of ``WIDTHS``.
        """
        lengths = self.lengths[rows]
        real = np.arange(-(-lengths.max() // WIDTHS) * WIDTHS) < lengths[:, None]
        positions = np.concatenate([np.arange(self.starts[row], self.starts[row + 1]) for row in rows])
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
class TextReader:
    """A tokenizer, and the length at which inputs are cut."""

    tokenizer: PreTrainedTokenizerBase
    max_length: int

    def encode(self, examples: TextExamples) -> EncodedTexts:
        """Tokenise a split in one pass."""
        return encode(examples, self.tokenizer, self.max_length)

    def save(self, folder: Path) -> None:
        """The tokenizer's files."""
        self.tokenizer.save_pretrained(folder)

    def differs(self, other: Reader) -> str | None:
        """Two models can share token ids only when they share their whole vocabulary."""
        assert isinstance(other, TextReader)
        if self.tokenizer.get_vocab() == other.tokenizer.get_vocab():
            return None
        return (
            f"do not share one vocabulary ({len(self.tokenizer)} and {len(other.tokenizer)} tokens): "
            "a pair needs models of one tokenizer family"
        )


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
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        labels=examples.labels,
        pad=int(tokenizer.pad_token_id),
    )


def _flat(rows: list[list[int]]) -> np.ndarray:
    return np.fromiter((token for row in rows for token in row), dtype=np.int64)
