"""Random starts that belong to an image, not to its place in a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

# How torchattacks draws, by the number of arguments; what a model draws in other ways is its own affair.
_DRAWS = {torch.rand: 1, torch.randn: 1, torch.Tensor.uniform_: 3, torch.Tensor.normal_: 1}


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
        """Replace draws, pass on everything else."""
        if _DRAWS.get(func) != len(args) or kwargs or isinstance(args[0], int):
            return func(*args, **(kwargs or {}))
        if func is torch.Tensor.uniform_:
            values, low, high = args
            return values.copy_(low + (high - low) * self._draw(torch.rand, tuple(values.shape)))
        if func is torch.Tensor.normal_:
            return args[0].copy_(self._draw(torch.randn, tuple(args[0].shape)))
        return self._draw(func, tuple(args[0]))

    def _draw(self, function: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        rows = self.rows(shape[0]) if len(shape) == 4 else None
        if rows is None:
            return function(shape, generator=self.shared)
        return torch.stack([function(shape[1:], generator=self.generators[row]) for row in rows.tolist()])
