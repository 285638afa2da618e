"""The losses as pure functions of tensors.

Classes are the last axis; every axis before it is a batch axis over which the mean is taken.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """CE(y, zS). ``logits`` ``(batch, classes)``, ``labels`` ``(batch,)`` of class indices."""
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def mse(left: Tensor, right: Tensor) -> Tensor:
    """Mean squared difference over batch and classes."""
    return F.mse_loss(left, right)


def kl_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(pT ‖ pS) at ``temperature``, summed over classes, mean over the batch ("batchmean").

    Not multiplied with T²; Hinton et al. 2015, section 2.
    """
    log_p = F.log_softmax(teacher / temperature, dim=-1)
    log_q = F.log_softmax(student / temperature, dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()


def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """-Σ pT log pS at ``temperature``, mean over the batch: KL plus the teacher's entropy."""
    p = F.softmax(teacher / temperature, dim=-1)
    return -(p * F.log_softmax(student / temperature, dim=-1)).sum(-1).mean()


def hinged_squared_distance(student: Tensor, teacher: Tensor, margin: float) -> Tensor:
    """max(0, ‖zS - zT‖² - margin) for each example, mean over the batch (Continuation-KD)."""
    return torch.relu((student - teacher).square().sum(-1) - margin).mean()
