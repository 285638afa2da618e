"""Losses on features of whole examples: maps of convolutional networks, pooled features, sentence states.

Pure functions of tensors. Models in mixed precision hand over features in 16 bits: they are compared in 32.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def widened(values: Tensor) -> Tensor:
    """16-bit floats as float32, anything wider as it is."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def example_features(hidden_states: tuple[Tensor, ...]) -> Tensor:
    """One vector per example, ``(batch, width)``: pooled features of images, the last [CLS] state of texts."""
    last = widened(hidden_states[-1])
    return last[:, 0] if last.ndim == 3 else last


def attention_map(features: Tensor, power: int) -> Tensor:
    """Where a network looks: mean over channels of |F|^power, flattened, length 1 (Zagoruyko & Komodakis 2017).

    Args:
        features: ``(batch, channels, height, width)``.

    Returns:
        ``(batch, height·width)``.
    """
    return F.normalize(widened(features).abs().pow(power).mean(1).flatten(1), dim=1)


def attention_distance(student: Tensor, teacher: Tensor, power: int) -> Tensor:
    """MSE between two attention maps; the larger one is average-pooled to the smaller one's size first."""
    size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    maps = []
    for features in (student, teacher):
        fits = features.shape[2:] == size  # pooling to the same size changes nothing and takes its time
        maps.append(attention_map(features if fits else F.adaptive_avg_pool2d(widened(features), size), power))
    return F.mse_loss(maps[0], maps[1])


def similarity_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """‖G̃S - G̃T‖² / batch², G̃ the Gram matrix of the batch with rows of length 1 (Tung & Mori 2019, equation 4).

    Args:
        student, teacher: ``(batch, …)`` features, each of its own size.
    """
    grams = []
    for features in (student, teacher):
        rows = widened(features).flatten(1)
        grams.append(F.normalize(rows @ rows.T, dim=1))
    return F.mse_loss(grams[0], grams[1])


def distance_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between pairwise distances, each in units of its model's mean distance (Park et al. 2019, RKD-D).

    Args:
        student, teacher: ``(batch, width)``, each of its own width.
    """
    relations = []
    for features in (student, teacher):
        distances = torch.linalg.vector_norm(_differences(features), dim=-1)
        others = (distances > 0).sum().clamp(min=1)  # an example has no distance to itself
        mean = distances.sum() / others
        relations.append(distances / torch.where(mean > 0, mean, 1))
    return F.smooth_l1_loss(relations[0], relations[1])


def angle_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between the cosines of the angles at every example of every triplet (Park et al. 2019, RKD-A)."""
    relations = []
    for features in (student, teacher):
        differences = _differences(features)
        length = torch.linalg.vector_norm(differences, dim=-1, keepdim=True)
        directions = differences / torch.where(length > 0, length, 1)
        relations.append(directions @ directions.transpose(1, 2))
    return F.smooth_l1_loss(relations[0], relations[1])


def _differences(features: Tensor) -> Tensor:
    """``(batch, batch, width)`` differences of all pairs."""
    rows = widened(features)
    return rows[None, :] - rows[:, None]


def noise_contrastive(positive: Tensor, negative: Tensor, examples: int) -> Tensor:
    """-log h(positive) - Σ log(1 - h(negative)), h = P / (P + K/n), mean over the batch (Tian et al. 2020).

    Args:
        positive: ``(batch,)`` logarithms of P, the normalised score that a pair is of one example.
        negative: ``(batch, K)`` the same of pairs that are not.
        examples: n, among which the negatives are drawn uniformly.
    """
    chance = math.log(negative.shape[1] / examples)
    return (F.softplus(chance - positive) + F.softplus(negative - chance).sum(1)).mean()
