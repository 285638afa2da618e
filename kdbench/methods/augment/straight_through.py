"""The straight-through Gumbel-softmax, multiplied with word embeddings, without one-hot matrices.

Equal to ``F.gumbel_softmax(logits, tau=1, hard=True) @ W`` for several ``W`` at once, forward and
backward, but the forward is a look-up, and only one ``(holes, vocabulary)`` tensor is kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK = 128


class StraightThrough(torch.autograd.Function):
    """One sampled token per row, as embeddings of several models; gradients flow as if it were soft."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, *embeddings: Tensor) -> tuple[Tensor, ...]:
        """Sample and look up.

        Args:
            ctx: autograd's.
            logits: ``(holes, vocabulary)``.
            embeddings: one ``(vocabulary, width)`` matrix per model, taken as constants.

        Returns:
            One ``(holes, width)`` tensor per model, all of the same tokens.
        """
        noisy = logits.float() + gumbel_noise(logits)
        ctx.save_for_backward(noisy.softmax(-1), *embeddings)
        ctx.dtype = logits.dtype
        tokens = noisy.argmax(-1)
        return tuple(matrix[tokens] for matrix in embeddings)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the soft sample: p·(g - Σ p·g), with g = Σ_models grad·Wᵀ."""
        soft, *embeddings = ctx.saved_tensors
        result = torch.zeros_like(soft)
        for gradient, matrix in zip(gradients, embeddings, strict=True):
            result.addmm_(gradient.to(soft.dtype), matrix.to(soft.dtype).t())
        result -= (soft * result).sum(-1, keepdim=True)
        result *= soft
        return (result.to(ctx.dtype), *(None for _ in embeddings))


def gumbel_noise(logits: Tensor) -> Tensor:
    """Standard Gumbel noise in the shape of ``logits``, float32."""
    return torch.empty(logits.shape, device=logits.device).exponential_().log_().neg_()


def sample_tokens(logits: Tensor) -> Tensor:
    """One token per row of ``(holes, vocabulary)`` logits, drawn from their softmax.

    By inverting the cumulative distribution: one random number a row instead of one a token.
    """
    draws = torch.rand(len(logits), 1, device=logits.device)
    tokens = []
    for part, draw in zip(logits.split(CHUNK), draws.split(CHUNK), strict=True):
        cumulative = part.float().softmax(-1).cumsum(-1)
        tokens.append(torch.searchsorted(cumulative, draw * cumulative[:, -1:], right=True).squeeze(-1))
    return torch.cat(tokens).clamp_(max=logits.shape[-1] - 1)
