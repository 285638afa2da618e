"""The fast adaptive boundary attack (Croce & Hein, ICML 2020), on nothing but the images that are live.

torchattacks' run moves a whole batch to the end, and each of its steps sorts the pixels of every image, which costs
more than a small network's passes. The steps here are the same, with torchattacks' projections.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchattacks.attacks.fab import projection_l2, projection_linf

from kdbench.attacks.image_members import TargetedFAB
from kdbench.attacks.image_victim import Victim, lengths, margin


def fab(victim: Victim, member: TargetedFAB, aims: Tensor, restart: int) -> None:
    """Look for the smallest perturbation to the boundary with one wrong class.

    Args:
        victim: the watched classifier with the images under attack, all of them classified right.
        member: the settings.
        aims: ``(n,)`` the wrong classes.
        restart: number of the run; all but the first, 0, start at random.

    Raises:
        kdbench.attacks.image_victim.Finished: no image was live before the run was over.
    """
    rows = torch.arange(len(victim.images), device=victim.images.device)
    inputs = _random_start(victim) if restart else victim.images
    for _ in range(member.steps):
        images, labels = victim.images[rows], victim.labels[rows]
        lead, gradient = _lead(victim, inputs, rows, aims[rows])
        inputs = _step(inputs, images, lead, gradient, member, victim)
        with torch.no_grad():
            crossed = margin(victim.ask(inputs, rows), labels) < 0
        back = images + member.beta * (inputs - images)
        live = victim.live[rows]
        inputs = torch.where(crossed.view(-1, 1, 1, 1), back, inputs)[live]
        rows = rows[live]


def _random_start(victim: Victim) -> Tensor:
    """Points half of epsilon away, which the paper takes for restarts."""
    images = victim.images
    noise = 2 * torch.rand(images.shape) - 1 if victim.norm == "Linf" else torch.randn(images.shape)
    noise = noise.to(images.device)
    size = lengths(noise, victim.norm).view(-1, 1, 1, 1)
    return (images + victim.epsilon / 2 * noise / size).clamp(0, 1)


def _lead(victim: Victim, inputs: Tensor, rows: Tensor, aims: Tensor) -> tuple[Tensor, Tensor]:
    """``(rows,)`` by how much the wrong class's logit exceeds the label's, and the gradient of that."""
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        logits = victim.ask(inputs, rows)
        own, aimed = (logits.gather(1, index[:, None])[:, 0] for index in (victim.labels[rows], aims))
        lead = aimed - own
        (gradient,) = torch.autograd.grad(lead.sum(), inputs)
    return lead.detach(), gradient


def _step(
    inputs: Tensor, images: Tensor, lead: Tensor, gradient: Tensor, member: TargetedFAB, victim: Victim
) -> Tensor:
    """Over the linearised boundary from where the attack stands and from the original, averaged (equations 7 to 9)."""
    project = projection_linf if victim.norm == "Linf" else projection_l2
    points = torch.cat([inputs.flatten(1), images.flatten(1)])
    normal = gradient.flatten(1)
    offset = (normal * inputs.flatten(1)).sum(1) - lead
    moves = project(points, normal.repeat(2, 1), offset.repeat(2)).view(-1, *images.shape[1:])
    sizes = lengths(moves, victim.norm).clamp(min=1e-8).view(-1, 1, 1, 1)
    (move, move_original), (size, size_original) = moves.chunk(2), sizes.chunk(2)
    share = (size / (size + size_original)).clamp(0, member.alpha_max)
    reached, near = inputs + member.eta * move, images + member.eta * move_original
    combined: Tensor = ((1 - share) * reached + share * near).clamp(0, 1)
    return combined
