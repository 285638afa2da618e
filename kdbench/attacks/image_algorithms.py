"""torchattacks' algorithms as functions ``(victim, member)``, without what would spoil a comparison.

Their single runs are called, not the attack objects: those switch the model's mode, seed the global generator,
and restart over all images. Three of them are corrected, each where its class says; FAB is in a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torchattacks
from torch import Tensor

from kdbench.attacks import image_members as members
from kdbench.attacks.image_fab import fab
from kdbench.attacks.image_victim import Victim, margin


def perturb(victim: Victim, member: members.Member, aims: Tensor | None, restart: int) -> None:
    """One run of an algorithm on all of the victim's images; the victim remembers what it tried.

    Args:
        victim: the watched classifier with the images under attack, all of them classified right.
        member: the algorithm and its settings.
        aims: ``(n,)`` the wrong classes to aim at, of algorithms that do.
        restart: number of the run, from 0 on.

    Raises:
        kdbench.attacks.image_victim.Finished: no image was live before the run was over.
    """
    _RUNS[type(member)](victim, member, aims, restart)


def _fgsm(victim: Victim, member: members.FGSM, aims: None, restart: int) -> None:
    _forward(torchattacks.FGSM(victim, eps=victim.epsilon), victim)


def _pgd(victim: Victim, member: members.PGD, aims: None, restart: int) -> None:
    attack = torchattacks.PGD if victim.norm == "Linf" else torchattacks.PGDL2
    size = member.step_size * victim.epsilon
    run = attack(victim, eps=victim.epsilon, alpha=size, steps=member.steps, random_start=member.random_start)
    _forward(run, victim)


def _cw(victim: Victim, member: members.CW, aims: None, restart: int) -> None:
    run = _CW(victim, c=member.constants[restart], kappa=member.confidence, steps=member.steps, lr=member.learning_rate)
    _forward(run, victim)


def _apgd(victim: Victim, member: members.AutoPGD, aims: Tensor | None, restart: int) -> None:
    loss = "ce" if member.algorithm == "apgd-ce" else "dlr"
    run = _APGD(victim, norm=victim.norm, eps=victim.epsilon, steps=member.steps, loss=loss, rho=member.rho)
    run.targets = aims
    run.attack_single_run(victim.images, victim.labels)


def _square(victim: Victim, member: members.Square, aims: None, restart: int) -> None:
    run = torchattacks.Square(
        victim,
        norm=victim.norm,
        eps=victim.epsilon,
        n_queries=member.queries,
        p_init=member.initial_share,
        resc_schedule=member.rescale,
    )
    run.init_hyperparam(victim.images)
    run.attack_single_run(victim.images, victim.labels)


_RUNS: dict[type[members.Member], Callable[[Victim, Any, Any, int], None]] = {
    members.FGSM: _fgsm,
    members.PGD: _pgd,
    members.CW: _cw,
    members.APGD: _apgd,
    members.TargetedAPGD: _apgd,
    members.TargetedFAB: fab,
    members.Square: _square,
}


def _forward(attack: Any, victim: Victim) -> None:
    """A whole attack, whose result it does not look at itself."""
    victim(attack.forward(victim.images, victim.labels).detach())


class _APGD(torchattacks.APGD):
    """Auto-PGD whose DLR loss is targeted when there are targets (Croce & Hein, ICML 2020, eq. 6 and 7).

    torchattacks' own APGDT is not used: under L2 it moves every image by the step size of the first one in the
    batch. Below three classes, four for the targeted loss, the ratio is not defined and the plain margin is
    taken: Auto-PGD does not depend on a loss's scale.
    """

    targets: Tensor | None = None

    def dlr_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """``(batch,)`` losses, to be raised."""
        ordered = logits.sort(dim=1).values
        classes = logits.shape[1]
        if self.targets is None:
            scale = ordered[:, -1] - ordered[:, -3] if classes > 2 else 1.0
            return -margin(logits, labels) / (scale + 1e-12)
        own, aimed = (logits.gather(1, index[:, None])[:, 0] for index in (labels, self.targets))
        scale = ordered[:, -1] - (ordered[:, -3] + ordered[:, -4]) / 2 if classes > 3 else 1.0
        return (aimed - own) / (scale + 1e-12)


class _CW(torchattacks.CW):
    """Carlini & Wagner's attack, its margin computed right and without a stop for all.

    torchattacks takes the largest of the other logits and 0, so where all others are negative it stops pushing
    before the class has changed. And it stops when the summed cost of the batch rises: a constant that falls
    from step to step, and has no gradient, keeps the others' cost from ending an image's attack.
    """

    evaluations = 0

    def f(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """``(batch,)`` equation 6 of the paper, untargeted, minus the constant."""
        self.evaluations += 1
        return margin(outputs, labels).clamp(min=-self.kappa) - 1e6 * self.evaluations
