"""Batches as large as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from kdbench.attacks.image_victim import logits_of

CPU_BATCH = 128  # beyond it a core gains nothing, and what an attack keeps leaves the caches
CUDA_BATCH = 4096
_PROBE = 16
_SHARE = 0.5  # of free memory: algorithms keep copies of the images, and the allocator fragments


def fitting_batch(model: nn.Module, images: Tensor) -> int:
    """How many images to attack at once: a constant on the CPU, by measured need and free memory on CUDA."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    if device.type != "cuda" or not len(images):
        return CPU_BATCH
    probe = images[:_PROBE].to(device).requires_grad_()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    torch.autograd.grad(logits_of(model, probe).sum(), probe)
    need = (torch.cuda.max_memory_allocated(device) - before) / len(probe)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(CUDA_BATCH, int(_SHARE * free / max(1.0, need))))


class Batches:
    """Cuts rows into batches; where memory runs out, into half as large ones from then on."""

    def __init__(self, size: int) -> None:
        self.size = size

    def over(self, rows: Tensor, run: Callable[[Tensor], None], done: int = 0) -> Iterator[int]:
        """Call ``run`` on one batch of rows after the other; it must leave nothing behind when it fails.

        Args:
            rows: all of them.
            run: work on a few.
            done: how many are done already.

        Yields:
            How many rows are done, after each batch.

        Raises:
            torch.OutOfMemoryError: a single row is too many.
        """
        while done < len(rows):
            batch = rows[done : done + self.size]
            try:
                run(batch)
            except torch.cuda.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                self.size = len(batch) // 2
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            done += len(batch)
            yield done
