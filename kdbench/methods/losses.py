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


def decoupled_divergences(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The two parts of Hinton's divergence (Zhao et al. 2022, equation 7), neither multiplied with T².

    Args:
        student, teacher: ``(batch, classes)`` logits.
        labels: ``(batch,)`` target classes.

    Returns:
        TCKD, the KL between (target, all others) as two classes, and NCKD, the KL among the others; means over the
        batch. For each example KL = TCKD + (1 - pT of the target)·NCKD. NCKD of two classes is 0: only one is left.
    """
    classes = torch.arange(student.shape[-1] - 1, device=labels.device)
    others = classes + (classes >= labels[:, None])  # every class but the target, in order
    binary, rest = [], []
    for logits in (student / temperature, teacher / temperature):
        rest.append(logits.gather(1, others))
        binary.append(torch.cat([logits.gather(1, labels[:, None]), rest[-1].logsumexp(1, keepdim=True)], 1))
    return kl_divergence(binary[0], binary[1]), kl_divergence(rest[0], rest[1])


def pearson_distance(left: Tensor, right: Tensor) -> Tensor:
    """1 - Pearson's correlation of each row with its counterpart, mean over the rows (Huang et al. 2022).

    A constant row has no correlation: it counts as uncorrelated.
    """
    centred = [values - values.mean(-1, keepdim=True) for values in (left, right)]
    return 1 - F.cosine_similarity(centred[0], centred[1], dim=-1).mean()


def standardized(logits: Tensor) -> Tensor:
    """Logits with mean 0 and sample deviation 1 in every row (Sun et al. 2024); constant rows become 0."""
    deviation = logits.std(-1, keepdim=True)
    return (logits - logits.mean(-1, keepdim=True)) / (deviation + 1e-7)
