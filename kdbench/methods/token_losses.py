"""Losses on what happens inside text encoders: hidden states, attention scores, relations between tokens.

Pure functions of tensors. ``mask`` is ``(batch, tokens)`` and true for real tokens; padding never counts. Models in
mixed precision hand over states in 16 bits: they are compared in 32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kdbench.methods.feature_losses import widened

_CLOSED = -1e9  # score of a key that is padding: finite, for 0·log 0 to be 0


def token_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the real tokens of each example, then over the batch.

    Args:
        values: ``(batch, tokens)``.
    """
    weights = mask.to(values.dtype)
    return ((values * weights).sum(1) / weights.sum(1).clamp(min=1)).mean()


def pooled(states: Tensor, mask: Tensor) -> Tensor:
    """``(batch, width)`` mean of the states ``(batch, tokens, width)`` over real tokens."""
    states = widened(states)
    weights = mask.to(states.dtype)[:, :, None]
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def normalized_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """MSE between vectors brought to length 1, mean over all axes (Sun et al. 2019, equation 7)."""
    return F.mse_loss(F.normalize(widened(student), dim=-1), F.normalize(widened(teacher), dim=-1))


def cosine_distance(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """1 - cos between the states of a token, mean over the real tokens of the whole batch (Sanh et al. 2019).

    Args:
        student, teacher: ``(batch, tokens, width)``.
    """
    cosines = F.cosine_similarity(widened(student), widened(teacher), dim=-1)
    weights = mask.to(cosines.dtype)
    return ((1 - cosines) * weights).sum() / weights.sum().clamp(min=1)


def state_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """MSE between the states of real tokens, ``(batch, tokens, width)`` each (Jiao et al. 2020, equation 8)."""
    return token_mean((widened(student) - widened(teacher)).square().mean(-1), mask)


def attention_scores(queries: Tensor, keys: Tensor, heads: int) -> Tensor:
    """QKᵀ/√(width of a head) before any softmax or dropout, ``(batch, heads, tokens, tokens)``.

    Args:
        queries, keys: ``(batch, tokens, width)``, all heads side by side.
        heads: must divide the width.
    """
    left, right = (_split(widened(values), heads) for values in (queries, keys))
    return left @ right.transpose(-1, -2) / math.sqrt(left.shape[-1])


def score_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """MSE between attention scores of pairs of real tokens, mean over heads (Jiao et al. 2020, equation 7).

    Args:
        student, teacher: ``(batch, heads, tokens, tokens)``.
    """
    squares = (student - teacher).square().mean(1)
    return token_mean((squares * mask[:, None, :]).sum(-1) / mask.sum(1).clamp(min=1)[:, None], mask)


def relation_divergence(student: Tensor, teacher: Tensor, mask: Tensor, heads: int) -> Tensor:
    """KL(RT ‖ RS) of self-relations R = softmax(AAᵀ/√d), mean over heads and real tokens (Wang et al. 2021).

    Args:
        student, teacher: ``(batch, tokens, width)`` queries, keys or values, each of its own width.
        heads: relation heads: both widths are cut into so many pieces of d, whatever the attention heads.
    """
    log_q, log_p = (
        attention_scores(values, values, heads).masked_fill(~mask[:, None, None, :], _CLOSED).log_softmax(-1)
        for values in (student, teacher)
    )
    divergence = (log_p.exp() * (log_p - log_q)).sum(-1)  # (batch, heads, tokens)
    return token_mean(divergence.mean(1), mask)


def _split(values: Tensor, heads: int) -> Tensor:
    """``(batch, tokens, width)`` as ``(batch, heads, tokens, width / heads)``."""
    batch, tokens, width = values.shape
    return values.view(batch, tokens, heads, width // heads).transpose(1, 2)


def real_tokens(inputs: Mapping[str, Tensor], states: Tensor) -> Tensor:
    """``(batch, tokens)`` truth of the attention mask; every token is real where there is none."""
    mask = inputs.get("attention_mask")
    return torch.ones(states.shape[:2], dtype=torch.bool, device=states.device) if mask is None else mask.bool()
