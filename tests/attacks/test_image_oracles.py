"""The same attacks by other hands: AutoAttack's own code (pyautoattack), and PGD written down plainly."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kdbench.attacks.image_fab import fab
from kdbench.attacks.image_members import TargetedFAB
from kdbench.attacks.image_random import RowRandom
from kdbench.attacks.image_victim import Victim
from kdbench.attacks.images import attack_images
from kdbench.attacks.spec import ATTACKS
from tests.attacks.image_cases import attack, digits, real_images, real_model, shortened, trained

ORACLE = pytest.importorskip("pyautoattack", reason="the oracle of AutoAttack is a development dependency")
BALLS = {"Linf": 0.1, "L2": 0.5}


def ours(model: nn.Module, images: Tensor, labels: Tensor, norm: str, epsilon: float, member: dict) -> float:
    """Share of images that stand."""
    spec = attack(norm=norm, epsilon=epsilon, members=[member])
    return attack_images(model, images, labels, spec, seed=0).outcomes.count("failed") / len(images)


def standing(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).float().mean())


def reference(
    model: nn.Module, norm: str, epsilon: float, attacks: list[str], *, steps: int, targets: int, queries: int
) -> Any:
    """The reference implementation with other budgets."""
    run = ORACLE.AutoAttack(model, norm=norm, eps=epsilon, seed=0, version="custom", attacks=attacks)
    run.verbose = False
    for apgd in (run.apgd, run.apgd_targeted):
        apgd.n_iter, apgd.n_restarts = steps, 1
        apgd.n_iter_2, apgd.n_iter_min = max(int(0.22 * steps), 1), max(int(0.06 * steps), 1)
        apgd.size_decr = max(int(0.03 * steps), 1)
    run.fab.n_iter, run.fab.n_restarts, run.fab.n_target_classes = steps, 1, targets
    run.apgd_targeted.n_target_classes = targets
    run.square.n_queries = queries
    return run


def autoattack(model: nn.Module, images: Tensor, labels: Tensor, norm: str, epsilon: float, member: dict) -> float:
    """Share of images that stand one member of the reference implementation, with the same budget."""
    budget = {name: member.get(name, 0) for name in ("steps", "targets", "queries")}
    run = reference(model, norm, epsilon, [member["algorithm"]], **budget)
    adversarial, _ = run.run_standard_evaluation(images, labels, batch_size=len(images))
    return standing(model, adversarial, labels)


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize(
    "member",
    [
        {"algorithm": "apgd-ce", "steps": 20},
        {"algorithm": "apgd-t", "steps": 20, "targets": 3},
        {"algorithm": "fab-t", "steps": 20, "targets": 3},
        {"algorithm": "square", "queries": 150},
    ],
    ids=lambda member: member["algorithm"],
)
def test_members_of_autoattack_agree_with_its_own_code(member, norm):
    images, labels = (part[:128] for part in digits())
    case = (trained(), images, labels, norm, BALLS[norm], member)
    mine, theirs = ours(*case), autoattack(*case)
    assert 0.2 < theirs < 0.95, "a ball that tells nothing"
    # gradients agree within a point or so; a random search of 150 queries varies by more with its seed
    assert mine == pytest.approx(theirs, abs=0.04 if member["algorithm"] == "square" else 0.016)


@pytest.mark.parametrize("norm", BALLS)
def test_the_standard_ensemble_has_the_settings_of_its_own_code(norm):
    run = ORACLE.AutoAttack(trained(), norm=norm, eps=0.1, seed=0, version="standard")
    tail = {"Linf": "linf-8", "L2": "l2-0.5"}[norm]
    members = ATTACKS.get(f"autoattack-standard-{tail}").members
    assert run.attacks_to_run == [member.algorithm for member in members]
    ce, targeted, fab, square = members
    assert (ce.steps, ce.restarts, ce.rho) == (run.apgd.n_iter, run.apgd.n_restarts, run.apgd.thr_decr)
    theirs = run.apgd_targeted
    assert (targeted.steps, targeted.restarts, targeted.rho) == (theirs.n_iter, theirs.n_restarts, theirs.thr_decr)
    assert (targeted.targets, fab.targets) == (theirs.n_target_classes, run.fab.n_target_classes)
    assert (fab.steps, fab.restarts) == (run.fab.n_iter, run.fab.n_restarts)
    assert (fab.alpha_max, fab.eta, fab.beta) == (run.fab.alpha_max, run.fab.eta, run.fab.beta)
    assert (square.queries, square.restarts) == (run.square.n_queries, run.square.n_restarts)
    assert (square.initial_share, square.rescale) == (run.square.p_init, run.square.rescale_schedule)


def test_the_whole_ensemble_gives_the_verdicts_of_its_own_code() -> None:
    """A quarter of the steps, a tenth of the queries; ``tests/benchmarks/image_attacks.py`` has all of them."""
    images, labels = (part[100:148] for part in digits())
    spec = shortened("autoattack-standard-linf-8", steps=25, queries=500).model_copy(update={"epsilon": 0.09})
    mine = np.array(attack_images(trained(), images, labels, spec, seed=0).outcomes) == "failed"
    run = reference(trained(), "Linf", 0.09, [m.algorithm for m in spec.members], steps=25, targets=9, queries=500)
    adversarial, _ = run.run_standard_evaluation(images, labels, batch_size=len(images))
    with torch.no_grad():
        theirs = (trained()(adversarial).argmax(1) == labels).numpy()
    assert 0.2 < theirs.mean() < 0.6, "a ball that tells nothing"
    np.testing.assert_array_equal(mine, theirs)


def plain_pgd(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, steps: int) -> Tensor:
    """Madry et al., equation 2, as it stands in the paper."""
    generator = torch.Generator().manual_seed(1)
    inputs = (images + epsilon * (2 * torch.rand(images.shape, generator=generator) - 1)).clamp(0, 1)
    for _ in range(steps):
        inputs.requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(inputs), labels, reduction="sum"), inputs)
        moved = inputs.detach() + epsilon / 4 * gradient.sign()
        inputs = torch.minimum(torch.maximum(moved, images - epsilon), images + epsilon).clamp(0, 1)
    return inputs.detach()


class Logits(nn.Module):
    """A transformers model as other libraries want it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(pixel_values=images).logits


@pytest.mark.parametrize("restart", [0, 1])
@pytest.mark.parametrize(("norm", "epsilon"), [*BALLS.items(), ("Linf", 1e-6)])
def test_fab_walks_as_torchattacks_does(norm: str, epsilon: float, restart: int) -> None:
    """The same steps, whether nothing or much is dropped on the way; two looks at the originals are not needed."""
    import torchattacks

    images, labels = (part[:48] for part in digits())
    model = trained()
    with torch.no_grad():
        aims = model(images).scatter(1, labels[:, None], torch.inf).argsort(1, descending=True)[:, 2]
    mine, theirs = (Victim(model, images, labels, norm, epsilon) for _ in range(2))
    run = torchattacks.FAB(theirs, norm=norm, eps=epsilon, steps=12, alpha_max=0.1, eta=1.05, beta=0.9)
    run.multi_targeted, run.target_class = True, 3
    with RowRandom(range(48), 0, theirs.rows):
        run.attack_single_run_targeted(images, labels, use_rand_start=restart > 0)
    with RowRandom(range(48), 0, mine.rows):
        fab(mine, TargetedFAB(algorithm="fab-t", steps=12), aims, restart)
    assert torch.equal(mine.standing, theirs.standing) and (mine.standing.any() or epsilon > 1e-6)
    assert epsilon == 1e-6 or 0 < mine.standing.sum() < 40
    broken = ~mine.standing  # of those that stand, torchattacks' first look may have been the strongest attempt
    torch.testing.assert_close(mine.strongest[broken], theirs.strongest[broken], atol=1e-5, rtol=0)
    torch.testing.assert_close(mine.answers, theirs.answers, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(mine.queries, theirs.queries - 2)
    torch.testing.assert_close(mine.gradients, theirs.gradients)


def test_pgd_agrees_with_the_paper_s_equation():
    images, labels = (part[:256] for part in digits())
    mine = ours(trained(), images, labels, "Linf", 0.1, {"algorithm": "pgd", "steps": 20})
    theirs = standing(trained(), plain_pgd(trained(), images, labels, 0.1, 20), labels)
    assert 0.2 < theirs < 0.8
    assert mine == pytest.approx(theirs, abs=0.01)


def test_a_real_network_agrees_with_both():
    """At a small ball, since nothing stands at the usual ones."""
    images, labels = real_images(50)
    model, epsilon = Logits(real_model()), 1 / 255
    plain = standing(model, plain_pgd(model, images, labels, epsilon, 6), labels)
    assert ours(model.model, images, labels, "Linf", epsilon, {"algorithm": "pgd", "steps": 6}) == pytest.approx(
        plain, abs=0.041
    )
    member = {"algorithm": "apgd-ce", "steps": 6}
    theirs = autoattack(model, images, labels, "Linf", epsilon, member)
    assert ours(model.model, images, labels, "Linf", epsilon, member) == pytest.approx(theirs, abs=0.041)
    assert 0 < theirs < 0.5


def test_torchattacks_defaults_are_not_autoattack_s():
    """Why the settings are written out: its ensemble makes 10 steps where AutoAttack makes 100."""
    import torchattacks

    assert inspect.signature(torchattacks.APGD).parameters["steps"].default == 10
    assert inspect.signature(torchattacks.Square).parameters["resc_schedule"].default is True
