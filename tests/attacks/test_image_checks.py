"""Every flag is raised by a case that deserves it, and a normal model raises none."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from kdbench.attacks.image_checks import CHECKED, check_images
from kdbench.attacks.images import attack_images
from tests.attacks.image_cases import Around, attack, digits, real_images, real_model, trained

PGD = {"algorithm": "pgd", "steps": 5}


def flags(model: nn.Module, images: Tensor, labels: Tensor, spec=None) -> dict[str, str]:
    """Name -> sentence."""
    spec = spec or attack(epsilon=0.1, members=[PGD])
    result = attack_images(model, images, labels, spec, seed=0)
    return dict(flag.split(": ", 1) for flag in check_images(model, images, labels, spec, result, seed=0))


@pytest.fixture
def sample():
    images, labels = digits()
    return images[:32], labels[:32]


@pytest.mark.parametrize(("norm", "epsilon"), [("Linf", 0.05), ("Linf", 0.1), ("Linf", 0.3), ("L2", 0.5)])
def test_a_normal_model_raises_none(norm, epsilon, sample):
    ensemble = [PGD, {"algorithm": "apgd-ce", "steps": 10}, {"algorithm": "square", "queries": 50, "rescale": True}]
    assert flags(trained(), *sample, attack(norm=norm, epsilon=epsilon, members=ensemble)) == {}


@pytest.mark.parametrize("epsilon", [1 / 255, 8 / 255])
def test_a_real_model_raises_none(epsilon):
    images, labels = real_images(24)
    assert flags(real_model(), images, labels, attack(epsilon=epsilon, members=["fgsm"])) == {}


def test_scaled_logits_are_unmasked(sample):
    """A thousandfold logit scale: the softmax is exact, the cross-entropy's gradient vanishes."""
    found = flags(Around(trained(), after=lambda logits: 1000 * logits), *sample)
    by_ratio, by_cross_entropy = _counts(found["logit-scale-masking"])
    assert by_ratio + 8 <= by_cross_entropy
    assert "is zero or not finite for" in found["zero-gradients"]
    assert not {"stochastic-output", "epsilon-0-differs"} & set(found)


def test_scaled_logits_of_a_real_model_are_unmasked():
    images, labels = real_images(24)

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = real_model()

        def forward(self, images: Tensor) -> Tensor:
            return 1000 * self.model(images).logits

    found = flags(Scaled(), images, labels, attack(epsilon=4 / 255, members=["fgsm"]))
    assert "logit-scale-masking" in found and "zero-gradients" in found


def test_random_output_is_noticed(sample):
    noisy = Around(trained(), after=lambda logits: logits + 3 * torch.randn(logits.shape))
    assert "two passes over 16 images differ" in flags(noisy, *sample)["stochastic-output"]


def test_a_model_that_looks_at_the_whole_batch_is_noticed(sample):
    """Nothing random, but an image's class depends on its company: of the whole sample, or of those still right."""
    images, labels = sample
    batch = Around(trained(), before=lambda images: (images - 0.4 * (len(images) <= CHECKED)).clamp(0, 1))
    found = flags(batch, images, labels)
    assert "that were right are wrong under epsilon 0" in found["epsilon-0-differs"]
    assert "stochastic-output" not in found


def test_shattered_gradients_are_noticed(sample):
    """Pixels rounded to 8 levels: no gradient at all, and a search without gradients walks past that."""
    rounded = Around(trained(), before=lambda images: (images * 8).round() / 8)
    found = flags(rounded, *sample, attack(epsilon=0.3, members=[PGD]))
    assert "zero or not finite for 16 of 16 images" in found["zero-gradients"]
    assert "100 queries of Square break" in found["black-box-beats-white-box"]


def test_square_in_the_ensemble_itself_is_heard(sample):
    rounded = Around(trained(), before=lambda images: (images * 8).round() / 8)
    members = [{"algorithm": "apgd-ce", "steps": 3}, {"algorithm": "square", "queries": 100, "rescale": True}]
    found = flags(rounded, *sample, attack(epsilon=0.3, members=members))
    assert found["black-box-beats-white-box"].startswith("Square breaks ")
    assert ", of 32, that every attack with gradients left standing" in found["black-box-beats-white-box"]


class Curve(nn.Module):
    """Two classes told apart by the mean pixel alone; the first one's logit is a curve over its shift from 1/2."""

    def __init__(self, curve) -> None:
        super().__init__()
        self.curve = curve

    def forward(self, images: Tensor) -> Tensor:
        logit = self.curve(images.flatten(1).mean(1) - 0.5)
        return torch.stack([logit, torch.zeros_like(logit), torch.full_like(logit, -9.0)], dim=1)


def grey(count: int = 20) -> tuple[Tensor, Tensor]:
    """Images whose mean is 1/2, all of the first class."""
    half = torch.rand((count, 1, 8, 4), generator=torch.Generator().manual_seed(0)) / 4
    return torch.cat([0.5 + half, 0.5 - half], dim=-1), torch.zeros(count, dtype=torch.int64)


def test_accuracy_that_rises_with_epsilon_is_noticed():
    """A periodic boundary: steps at epsilon land in its troughs, steps at twice epsilon leap from crest to crest."""
    period = 0.04
    model = Curve(lambda shift: torch.cos(2 * torch.pi * shift / period) + 0.5)
    found = flags(model, *grey(), attack(epsilon=0.08, members=[PGD]))
    at_epsilon, at_twice = _counts(found["accuracy-rises-with-epsilon"])
    assert at_epsilon <= 2 and at_twice >= 10


def test_accuracy_that_rises_with_steps_is_noticed():
    """A bump in the way: small steps turn back at it, one large step leaps over it."""

    def bump(shift: Tensor) -> Tensor:
        return torch.where(shift < 0.01, 1 - 10 * shift, torch.where(shift < 0.06, 0.9 + shift, -1 + 0 * shift))

    found = flags(Curve(bump), *grey(), attack(epsilon=0.08, members=[PGD]))
    assert _counts(found["accuracy-rises-with-steps"]) == (0, 16)


def _counts(sentence: str) -> tuple[int, int]:
    """The images that stand either attack, out of the sentence of a flag."""
    found = re.search(r"^(\d+) of 16 images stand .*, (\d+) (at twice|stand|on the)", sentence)
    assert found
    return int(found[1]), int(found[2])


def test_nothing_to_look_at(sample):
    images, labels = sample
    assert flags(trained(), images, (labels + 1) % 10) == {}
