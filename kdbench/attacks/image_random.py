"""Random starts that belong to an image, not to its place in a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class RowRandom(TorchFunctionMode):
    """While it is active, random batches are drawn row by row, each row from its image's own generator.

    torchattacks draws from torch's global generator, whole batches at once: what an image starts from would
    depend on which others are attacked with it, and on the device. Here draws of four dimensions are split by
    their first; smaller ones, which all images share, come from one further generator. All are made on the CPU.
    The global generator is neither read nor moved.
    """

    def __init__(self, seeds: Sequence[int], shared: int, rows: Callable[[int], Tensor | None]) -> None:
        """Prepare the generators.

        Args:
            seeds: one for each image.
            shared: the seed of draws that concern all images.
            rows: which images a batch of so many rows holds, or nothing when that is unknown.
        """
        super().__init__()
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shared = torch.Generator().manual_seed(shared)
        self.rows = rows

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace the four ways in which torchattacks draws."""
        if func in (torch.rand, torch.randn) and len(args) == 1 and not kwargs:
            return self._draw(func, tuple(args[0]))
        if func is torch.Tensor.uniform_:
            values, low, high = args
            return values.copy_(low + (high - low) * self._draw(torch.rand, tuple(values.shape)))
        if func is torch.Tensor.normal_ and len(args) == 1:
            return args[0].copy_(self._draw(torch.randn, tuple(args[0].shape)))
        return func(*args, **(kwargs or {}))

    def _draw(self, function: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        rows = self.rows(shape[0]) if len(shape) == 4 else None
        if rows is None:
            return function(shape, generator=self.shared)
        return torch.stack([function(shape[1:], generator=self.generators[row]) for row in rows.tolist()])
