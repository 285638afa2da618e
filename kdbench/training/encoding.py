"""Token ids as flat arrays, and batches cut from them: bucketed by length, padded to their longest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from kdbench.hashing import derive_seed
from kdbench.tasks.dataset import Examples

Inputs = dict[str, Tensor]
WIDTHS = 4  # few different shapes: every new one costs the matrix library time, and megabytes that it keeps


@dataclass(frozen=True)
class Encoded:
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

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray:
        """``(n,)`` tokens in each row."""
        return np.diff(self.starts)

    def collate(self, rows: np.ndarray) -> Inputs:
        """Model inputs of some rows, ``(batch, width)`` int64, padded on the right.

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


def encode(examples: Examples, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Encoded:
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
    return Encoded(
        tokens=_flat(batch["input_ids"]),
        types=None if types is None else _flat(types),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        labels=examples.labels,
        pad=int(tokenizer.pad_token_id),
    )


def _flat(rows: list[list[int]]) -> np.ndarray:
    return np.fromiter((token for row in rows for token in row), dtype=np.int64)


class BatchStream:
    """The endless, reproducible order of training batches.

    Every epoch is a new permutation, cut into pools; inside a pool rows are sorted by length and cut
    into batches, and the batches of an epoch are shuffled. Batch ``step`` depends on the seed and the
    step alone, so a resumed training sees what an uninterrupted one would have seen.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, pool: int = 50) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.pool = pool * batch_size
        self.per_epoch = -(-len(lengths) // batch_size)
        self._epoch = -1
        self._batches: list[np.ndarray] = []

    def batch(self, step: int) -> np.ndarray:
        """Row indices of batch ``step``."""
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._shuffle(epoch)
        return self._batches[position]

    def _shuffle(self, epoch: int) -> list[np.ndarray]:
        generator = np.random.Generator(np.random.PCG64(derive_seed("order", self.seed, epoch)))
        order = generator.permutation(len(self.lengths))
        batches = []
        for start in range(0, len(order), self.pool):
            pool = order[start : start + self.pool]
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        return [batches[i] for i in generator.permutation(len(batches))]
