"""A security curve from one run: as strong as a run for each epsilon, and monotone by construction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kdbench.attacks.image_result import STRETCHED, ImageAttackResult, summarize_images
from kdbench.attacks.images import attack_images
from tests.attacks.image_cases import attack, digits, trained

COUNT = 48
RADII = {"Linf": (0.03, 0.06, 0.12), "L2": (0.2, 0.4, 0.8)}
MEMBERS = [
    {"algorithm": "pgd", "steps": 5},
    {"algorithm": "apgd-ce", "steps": 10},
    {"algorithm": "square", "queries": 60, "rescale": True},
]


def run(norm: str, radii: tuple[float, ...]) -> ImageAttackResult:
    images, labels = (part[:COUNT] for part in digits())
    labels = labels.clone()
    labels[:2] = (labels[:2] + 1) % 10  # wrong before the attack
    return attack_images(trained(), images, labels, attack(norm=norm, epsilons=radii, members=MEMBERS), seed=0)


@pytest.fixture(scope="module", params=RADII)
def case(request: pytest.FixtureRequest) -> tuple[str, ImageAttackResult]:
    return request.param, run(request.param, RADII[request.param])


def test_every_image_lies_in_the_smallest_ball_that_broke_it(case: tuple[str, ImageAttackResult]) -> None:
    norm, curve = case
    assert set(curve.broken_at) == {0.0, *RADII[norm], np.inf}, "a case that tells nothing"
    assert (curve.broken_at[:2] == 0).all()
    broken = np.array(curve.outcomes) == "success"
    np.testing.assert_array_equal(broken, np.isfinite(curve.broken_at) & (curve.broken_at > 0))
    assert (curve.norms[broken] <= curve.broken_at[broken] * (1 + 1e-6)).all()
    with torch.no_grad():
        wrong = trained()(curve.images).argmax(1).numpy() != curve.labels
    np.testing.assert_array_equal(wrong, broken | (curve.broken_at == 0))


def test_one_run_breaks_whatever_a_run_for_each_epsilon_breaks(case: tuple[str, ImageAttackResult]) -> None:
    norm, curve = case
    alone = {radius: run(norm, (radius,)) for radius in RADII[norm]}
    for radius, single in alone.items():
        broken = np.array(single.outcomes) == "success"
        assert (curve.broken_at[broken] <= radius).sum() >= broken.sum() - 1  # one may differ by a batch's rounding
    assert curve.queries.sum() < sum(single.queries.sum() for single in alone.values())
    assert STRETCHED in curve.broken_by, "larger balls start from what was found in smaller ones"
    assert all(STRETCHED not in single.broken_by for single in alone.values())


def test_accuracies_by_counting(case: tuple[str, ImageAttackResult]) -> None:
    norm, curve = case
    expected = [(radius, float(np.mean(curve.broken_at > radius))) for radius in (0.0, *RADII[norm])]
    assert curve.curve == expected
    summary = summarize_images(curve)
    assert summary["clean_accuracy"] == expected[0][1] == 1 - 2 / COUNT
    assert summary["accuracy_under_attack"] == expected[-1][1] == curve.after["square"]
    before_pgd = np.mean((curve.broken_at >= RADII[norm][-1]) & (np.array(curve.broken_by) != STRETCHED))
    by_pgd = np.mean((curve.broken_at == RADII[norm][-1]) & (np.array(curve.broken_by) == "pgd"))
    assert curve.after["pgd"] == pytest.approx(before_pgd - by_pgd)


def test_in_a_larger_ball_a_search_is_the_one_it_would_be_by_itself() -> None:
    """Where nothing breaks in the first ball, it takes as many queries in the second as it takes alone."""
    images, labels = (part[:300] for part in digits())
    members = [{"algorithm": "square", "queries": 60, "rescale": True}]
    both, small, large = (
        attack_images(trained(), images, labels, attack(epsilons=radii, members=members), seed=0)
        for radii in ((1e-6, 0.15), (1e-6,), (0.15,))
    )
    searched = np.array(both.broken_by) == "square"
    assert searched.sum() >= 15, "a case that tells nothing"
    # the look at a clean image that one of two attacks saves is the look at a stretched one
    same = both.queries[searched] == small.queries[searched] + large.queries[searched]
    assert same.mean() > 0.9
