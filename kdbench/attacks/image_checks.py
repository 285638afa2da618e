"""Signs that an attack's result overstates robustness, looked for on a few images (Carlini et al., 2019, section 5).

Each check compares attacks on the same images and speaks up only beyond sampling noise: by McNemar's exact test at
the level of 0.01, which takes at least 8 images that differ. A flag is ``name: a sentence with the numbers``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kdbench.attacks.image_members import APGD, PGD, Member, Square
from kdbench.attacks.image_victim import frozen, logits_of
from kdbench.attacks.images import ImageAttackResult, attack_images
from kdbench.attacks.spec import AttackSpec
from kdbench.stats.paired import mcnemar_exact

CHECKED = 16
"""Images looked at: about 50 gradients and 100 queries each at most, a few per cent of an ensemble on hundreds."""

LEVEL = 0.01
_STEPS = 10
_DEAD_SHARE = 0.1
_BLACK_BOX_SHARE, _BLACK_BOX_COUNT = 0.02, 3
_REPEATABLE = 1e-4


def check_images(
    model: nn.Module, images: Tensor, labels: Tensor, spec: AttackSpec, result: ImageAttackResult, *, seed: int
) -> tuple[str, ...]:
    """Flags of one finished attack.

    Args:
        model, images, labels, spec, seed: what :func:`kdbench.attacks.images.attack_images` was given.
        result: what it returned.
    """
    chosen = np.flatnonzero(result.predicted == result.labels)[:CHECKED]
    if not len(chosen):
        return ()
    assert spec.epsilon is not None
    images, labels = images[chosen], labels[chosen]
    epsilon = spec.epsilon

    def standing(member: Member, epsilon: float) -> np.ndarray:
        attack = spec.model_copy(update={"members": (member,), "epsilon": epsilon, "epsilons": ()})
        outcomes = attack_images(
            model, images, labels, attack, seed=seed, batch_size=min(CHECKED, result.batch_size)
        ).outcomes
        return np.array([outcome == "failed" for outcome in outcomes], dtype=bool)

    steps = standing(PGD(algorithm="pgd", steps=_STEPS), epsilon)
    one_step = standing(PGD(algorithm="pgd", steps=1, step_size=1.0, random_start=False), epsilon)
    cross_entropy = standing(APGD(algorithm="apgd-ce", steps=_STEPS), epsilon)
    ratio = standing(APGD(algorithm="apgd-dlr", steps=_STEPS), epsilon)
    flags = [
        _stochastic(model, images),
        _epsilon_zero(standing(PGD(algorithm="pgd", steps=1), 0.0)),
        _dead_gradients(model, images, labels),
        _fewer(
            steps,
            standing(PGD(algorithm="pgd", steps=_STEPS), 2 * epsilon),
            "accuracy-rises-with-epsilon: {0} of {2} images stand {3} steps of PGD at epsilon, {1} at twice epsilon",
        ),
        _fewer(
            one_step,
            steps,
            "accuracy-rises-with-steps: {0} of {2} images stand one step of size epsilon, {1} stand {3} steps of PGD",
        ),
        _fewer(
            ratio,
            cross_entropy,
            "logit-scale-masking: {0} of {2} images stand {3} steps of Auto-PGD on the difference-of-logits ratio, "
            "{1} on the cross-entropy: the scale of the logits hides its gradient",
        ),
    ]
    survivors = np.flatnonzero(steps & one_step & cross_entropy & ratio)
    square = Square(algorithm="square", queries=100, rescale=True)
    if len(survivors) >= _BLACK_BOX_COUNT:
        images, labels = images[survivors], labels[survivors]
        flags.append(_black_box(int((~standing(square, epsilon)).sum()), len(chosen), "100 queries of Square break"))
    names = [member.algorithm for member in spec.members]
    if "square" in names and any(name.startswith("apgd") for name in names[: names.index("square")]):
        broken = result.broken_by.count("square")
        flags.append(_black_box(broken, int((result.predicted == result.labels).sum()), "Square breaks"))
    return tuple(_one_of_each(flags))


def _stochastic(model: nn.Module, images: Tensor) -> str | None:
    with frozen(model) as still, torch.no_grad():
        images = images.to(_device(still))
        first, second = (logits_of(still, images).double() for _ in range(2))
    change = float((first - second).abs().max())
    if change <= _REPEATABLE * max(1.0, float(first.abs().max())):
        return None
    return f"stochastic-output: two passes over {len(images)} images differ by up to {change:.2g} in a logit"


def _epsilon_zero(standing: np.ndarray) -> str | None:
    lost = int((~standing).sum())
    if not lost:
        return None
    return f"epsilon-0-differs: {lost} of {len(standing)} images that were right are wrong under epsilon 0"


def _dead_gradients(model: nn.Module, images: Tensor, labels: Tensor) -> str | None:
    with frozen(model) as still, torch.enable_grad():
        inputs = images.to(_device(still)).detach().clone().requires_grad_()
        loss = F.cross_entropy(logits_of(still, inputs), labels.to(inputs.device), reduction="sum")
        gradient = torch.zeros_like(inputs)
        if loss.requires_grad:
            (found,) = torch.autograd.grad(loss, inputs, allow_unused=True)
            gradient = gradient if found is None else found
    flat = gradient.flatten(1)
    dead = int(((flat == 0).all(1) | ~flat.isfinite().all(1)).sum())
    if dead <= _DEAD_SHARE * len(images):
        return None
    return f"zero-gradients: the cross-entropy's gradient is zero or not finite for {dead} of {len(images)} images"


def _fewer(expected_more: np.ndarray, expected_fewer: np.ndarray, text: str) -> str | None:
    """The flag, when clearly more images stand the attack that should break more."""
    first, second = int(expected_more.sum()), int(expected_fewer.sum())
    if first >= second or mcnemar_exact(expected_more, expected_fewer) >= LEVEL:
        return None
    return text.format(first, second, len(expected_more), _STEPS)


def _black_box(broken: int, of: int, what: str) -> str | None:
    if broken < max(_BLACK_BOX_COUNT, _BLACK_BOX_SHARE * of):
        return None
    return f"black-box-beats-white-box: {what} {broken} images, of {of}, that every attack with gradients left standing"


def _one_of_each(flags: Sequence[str | None]) -> list[str]:
    """The last flag of each name: what the whole attack saw says more than what a few images showed."""
    return list({flag.split(":")[0]: flag for flag in flags if flag}.values())


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
