"""The order of training batches."""

from __future__ import annotations

import numpy as np

from kdbench.hashing import derive_seed


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
