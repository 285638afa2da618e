"""The losses as pure functions of tensors.

Classes are the last axis; every axis before it is a batch axis over which the mean is taken. Of start and end logits
the classes are the tokens, and what cannot be an answer holds one very negative number in all models: sums over
classes do not see it, means over classes are told by a mask.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0, mask: Tensor | None = None) -> Tensor:
    """CE(y, zS), y being smoothed over the real classes.

    Args:
        logits: ``(…, classes)``.
        labels: ``(…)`` class indices.
        smoothing: ε, share of the target that is spread over all classes.
        mask: true where a logit is real, to be broadcast; nothing where all are.
    """
    rows = logits.flatten(0, -2)
    if mask is None or not smoothing:
        return F.cross_entropy(rows, labels.flatten(), label_smoothing=smoothing)
    uniform = class_mean(logits.log_softmax(-1), mask).mean()
    return (1 - smoothing) * F.cross_entropy(rows, labels.flatten()) - smoothing * uniform


def class_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the real classes of each row, ``(…, classes)`` to ``(…)``."""
    real = mask.expand_as(values)
    return torch.where(real, values, 0).sum(-1) / real.sum(-1).clamp(min=1)


def mse(left: Tensor, right: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean squared difference over the real classes of each row, then over rows."""
    if mask is None:
        return F.mse_loss(left, right)
    return class_mean((left - right).square(), mask).mean()


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


def standardized(logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Logits with mean 0 and sample deviation 1 in every row (Sun et al. 2024); constant rows become 0.

    What is not real stays as it is.
    """
    if mask is None:
        return (logits - logits.mean(-1, keepdim=True)) / (logits.std(-1, keepdim=True) + 1e-7)
    real = mask.expand_as(logits)
    centred = torch.where(real, logits - class_mean(logits, mask).unsqueeze(-1), 0)
    degrees = (real.sum(-1, keepdim=True) - 1).clamp(min=1)
    variance = centred.square().sum(-1, keepdim=True) / degrees
    deviation = variance.clamp(min=torch.finfo(logits.dtype).tiny).sqrt()  # the root of 0 has no gradient
    return torch.where(real, centred / (deviation + 1e-7), logits)
