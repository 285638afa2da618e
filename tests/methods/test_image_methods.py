"""The methods on images: the settings of their papers, and the attacks that stand for generators."""

from __future__ import annotations

from typing import Any

import pytest

from kdbench.budget import Updates
from kdbench.errors import MethodError
from kdbench.methods.augment.adversarial_images import AdversarialImages
from kdbench.methods.objectives import KDObjective, LogitMSE
from kdbench.methods.registry import METHODS
from kdbench.methods.stages import Leg, Stage, TeacherRef, Trajectory

IMAGES = "image-classification"
TRAJECTORY = Trajectory.nominal(5, assistants=2)
BEST = TeacherRef("checkpoint", 4)
PAPER = Updates(total=1, per_epoch=10, paper=True)


def _stages(name: str, total: int = 36, kind: str = IMAGES, **settings: Any) -> list[Stage]:
    return METHODS.build(name, {name: settings}, kind).stages(Updates(total, 6), TRAJECTORY)


@pytest.mark.parametrize("name", ["kd", "takd", "rco", "checkpoint-kd", "random-teacher"])
def test_hintons_loss_has_other_defaults_on_images(name: str) -> None:
    """α = 0.1 and T = 4, for 200 epochs; the teachers are those of text."""
    (image,), (text,) = _stages(name), _stages(name, kind="text-classification")
    assert image.objective == KDObjective(0.1, 4.0) and text.objective == KDObjective(0.5, 2.0)
    assert image.legs == text.legs
    assert METHODS.build(name, kind=IMAGES).stages(PAPER, TRAJECTORY)[0].steps == 2000
    settings = METHODS.build(name, {name: {"alpha": 0.3}}, IMAGES).config.model_dump()
    assert (settings["alpha"], settings["temperature"]) == (0.3, 4.0)


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        ("annealing", [200, 200]),
        ("prokd", [200, 200]),
        ("combined", [200, 200]),
        ("continuation", [200]),
        ("finetune", [200]),
        ("label-smoothing", [200]),
        ("logit-mse", [200]),
        ("mate", [200]),
        ("ard", [200]),
        ("rslad", [300]),
    ],
)
def test_epochs_on_images_under_the_papers_budget(name: str, epochs: list[int]) -> None:
    """CIFAR is trained for hundreds of epochs."""
    stages = METHODS.build(name, kind=IMAGES).stages(PAPER, TRAJECTORY)
    assert [stage.steps for stage in stages] == [10 * length for length in epochs]


def test_annealing_on_images_has_ten_temperatures() -> None:
    """Annealing-KD on CIFAR: Tmax 10, both stages of equal length."""
    first, second = _stages("annealing", 40)
    assert [(leg.scale, leg.steps) for leg in first.legs] == [(pytest.approx(t / 10), 2) for t in range(1, 11)]
    assert second.steps == 20 and first.objective == LogitMSE()


def test_assistants_on_images_are_trained_with_the_image_settings() -> None:
    """Every link of the chain is the same ``kd``."""
    name, settings = METHODS.build("takd", kind=IMAGES).assistant_method()
    (link,) = METHODS.build(name, {name: settings}, IMAGES).stages(Updates(36, 6), TRAJECTORY)
    assert link.objective == KDObjective(0.1, 4.0)


def test_mate_on_images_plays_its_game_in_a_small_ball() -> None:
    """The objective and the divergence are those of text; adversarial images stand for the generator's text."""
    (stage,) = _stages("mate")
    assert stage.objective == _stages("mate", kind="text-classification")[0].objective
    assert stage.augmenter == AdversarialImages("soft-ce", epsilon=4 / 255, step_size=2 / 255, steps=3, share=0.5)
    cost = METHODS.build("mate", kind=IMAGES).cost(Updates(36, 6), TRAJECTORY)
    assert (cost.generator_updates, cost.live_teacher_updates) == (0, 36)
    with pytest.raises(MethodError, match="method mate: mask_rate: unknown key"):
        METHODS.build("mate", {"mate": {"mask_rate": 0.5}}, IMAGES)


def test_combined_on_images_is_annealing_with_adversarial_images() -> None:
    """Legs and objectives of ``annealing``, MSE as the divergence, stage II on original images."""
    first, second = _stages("combined", 40)
    alone = _stages("annealing", 40)
    assert (first.legs, first.objective) == (alone[0].legs, LogitMSE()) and second == alone[1]
    assert first.augmenter == AdversarialImages("mse", epsilon=4 / 255, step_size=2 / 255, steps=3, share=0.5)


def test_ard_compares_adversarial_images_with_the_clean_answer() -> None:
    """α = 1 is all teacher, T = 30; PGD on CE: 10 steps of 2/255 within 8/255; originals have no soft term."""
    (stage,) = _stages("ard")
    assert stage.objective == KDObjective(0.0, 30.0) and stage.legs == (Leg(36, BEST),)
    assert stage.augmenter == AdversarialImages("ce", 8 / 255, 2 / 255, 10, share=1.0)
    assert (stage.augmenter.teacher_reads, stage.augmenter.live_teacher) == ("original", False)
    assert METHODS.build("ard", kind=IMAGES).cost(Updates(36, 6), TRAJECTORY).live_teacher_updates == 0
    assert _stages("ard", alpha=0.75)[0].objective == KDObjective(0.25, 30.0)


def test_rslad_has_soft_labels_only() -> None:
    """5/6 adversarial, 1/6 clean, KL at T = 1 inside and outside, no labels."""
    (stage,) = _stages("rslad")
    assert stage.objective == KDObjective(0.0, 1.0)
    assert stage.augmenter == AdversarialImages("kl", 8 / 255, 2 / 255, 10, share=5 / 6)
    assert (stage.augmenter.teacher_reads, stage.augmenter.live_teacher) == ("original", False)
