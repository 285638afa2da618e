"""Compositions with '+': a schedule takes over an objective or an augmenter, or refuses."""

from __future__ import annotations

import pytest

from kdbench.budget import Updates
from kdbench.errors import MethodError, UnknownNameError
from kdbench.methods.augment.adversarial_images import AdversarialImages
from kdbench.methods.augment.masked_text import MaskedText
from kdbench.methods.kinds import KINDS
from kdbench.methods.objectives import CrossEntropy, KDObjective, LogitMSE
from kdbench.methods.registry import METHODS, supported_kinds
from kdbench.methods.stages import Stage, Trajectory

TRAJECTORY = Trajectory.nominal(4, assistants=1)


IMAGES = "image-classification"


def _stages(expression: str, kind: str = KINDS[0], **settings: dict[str, object]) -> list[Stage]:
    named = {name.replace("_", "-"): values for name, values in settings.items()}
    return METHODS.build(expression, named, kind).stages(Updates(40, 8), TRAJECTORY)


@pytest.mark.parametrize("base", ["prokd", "annealing"])
def test_mate_joins_the_distilling_stage_only(base: str) -> None:
    """Legs and objective stay as they are; the labels' stage stays plain."""
    first, second = _stages(f"{base}+mate")
    alone = _stages(base)
    assert (first.legs, first.objective) == (alone[0].legs, LogitMSE())
    assert isinstance(first.augmenter, MaskedText) and first.augmenter.divergence == "mse"
    assert second == alone[1] and second.augmenter is None


def test_rco_plus_mate_keeps_the_walk() -> None:
    """All anchors, Hinton's loss, masked text."""
    (stage,), (alone,) = _stages("rco+mate"), _stages("rco")
    assert stage.legs == alone.legs and stage.objective == KDObjective(0.5, 2.0)
    assert isinstance(stage.augmenter, MaskedText)


@pytest.mark.parametrize("base", ["prokd", "annealing", "rco"])
def test_mate_joins_on_images_too(base: str) -> None:
    """Adversarial images that maximise the MSE of logits, in the distilling stage only."""
    first, *rest = _stages(f"{base}+mate", IMAGES, mate={"steps": 5})
    alone = _stages(base, IMAGES)
    assert (first.legs, first.objective, rest) == (alone[0].legs, alone[0].objective, alone[1:])
    assert first.augmenter == AdversarialImages("mse", 4 / 255, 2 / 255, 5)


@pytest.mark.parametrize(
    ("expression", "divergence", "share", "objective"),
    [("prokd+ard", "ce", 1.0, KDObjective(0.0, 30.0)), ("annealing+rslad", "kl", 5 / 6, KDObjective(0.0, 1.0))],
)
def test_robust_methods_bring_loss_and_attack(
    expression: str, divergence: str, share: float, objective: KDObjective
) -> None:
    """The schedule stays the base's; stage II is labels on clean images."""
    first, second = _stages(expression, IMAGES)
    alone = _stages(expression.split("+")[0], IMAGES)
    assert first.legs == alone[0].legs and second == alone[1] and first.objective == objective
    assert isinstance(first.augmenter, AdversarialImages)
    assert (first.augmenter.divergence, first.augmenter.share) == (divergence, share)


def test_freelb_joins_a_schedule() -> None:
    """With its loss, since loss and ascent are the same KL."""
    first, second = _stages("annealing+freelb-kd", freelb_kd={"temperature": 4.0})
    alone = _stages("freelb-kd", freelb_kd={"temperature": 4.0})[0]
    assert (first.objective, first.augmenter) == (alone.objective, alone.augmenter)
    assert first.legs == _stages("annealing")[0].legs and second.augmenter is None


@pytest.mark.parametrize("expression", ["mate+ard", "rslad+mate", "prokd+mate+rslad"])
def test_two_attacks_on_images_are_refused(expression: str) -> None:
    """One batch has one set of extra images."""
    with pytest.raises(MethodError, match="augmenter"):
        _stages(expression, IMAGES)


def test_annealing_plus_kd_anneals_hintons_loss() -> None:
    """Φ stays, the objective changes, stage II is labels."""
    first, second = _stages("annealing+kd", kd={"temperature": 5.0})
    assert first.objective == KDObjective(0.5, 5.0)
    assert [leg.scale for leg in first.legs] == [leg.scale for leg in _stages("annealing")[0].legs]
    assert second.objective == CrossEntropy() and second.start == "best"


def test_an_objective_and_an_augmenter_may_be_added_together() -> None:
    """Three parts, in any order after the base."""
    both = _stages("prokd+mate+kd")
    assert both == _stages("prokd+kd+mate")
    assert both[0].objective == KDObjective(0.5, 2.0) and isinstance(both[0].augmenter, MaskedText)


def test_annealing_plus_mate_is_combined_with_annealings_settings() -> None:
    """Combined-KD is a composition: the same stages when the settings are the same."""
    composed = _stages("annealing+mate", annealing={"max_temperature": 10, "epochs": (30, 10)})
    combined = _stages("combined")
    assert [(s.legs, s.objective, s.augmenter, s.start) for s in composed] == [
        (s.legs, s.objective, s.augmenter, s.start) for s in combined
    ]


def test_settings_reach_the_part_they_name() -> None:
    """And no other."""
    first, _ = _stages("prokd+mate", mate={"mask_rate": 0.5}, prokd={"max_temperature": 2.0})
    assert isinstance(first.augmenter, MaskedText) and first.augmenter.mask_rate == 0.5
    assert first.legs[0].scale == 0.5


def test_cost_and_parts_of_a_composition() -> None:
    """The live teacher runs in the augmented stage only; the name says what it is."""
    method = METHODS.build("prokd + mate")
    cost = method.cost(Updates(36, 6), TRAJECTORY)
    assert method.name == "prokd+mate" and [part.name for part in method.parts()] == ["prokd", "mate"]
    assert (cost.student_updates, cost.live_teacher_updates, cost.generator_updates) == (36, 28, 10)
    assert cost.cached_checkpoints == 4


@pytest.mark.parametrize(
    "expression", ["kd+annealing", "kd+prokd", "kd+rco", "kd+continuation", "mate+combined", "kd+finetune"]
)
def test_a_schedule_cannot_be_added(expression: str) -> None:
    """Known at construction, before anything is planned."""
    added = expression.split("+")[1]
    with pytest.raises(MethodError, match=f"method '{added}' is a schedule: it can stand before a '\\+', not after"):
        METHODS.build(expression)


@pytest.mark.parametrize("added", ["random-teacher", "checkpoint-kd", "takd"])
def test_a_method_that_chooses_the_teacher_cannot_be_added(added: str) -> None:
    """Who teaches is the schedule's business: after a '+' the choice would be lost without a word."""
    with pytest.raises(MethodError, match=added):
        METHODS.build(f"annealing+{added}")


@pytest.mark.parametrize(
    ("expression", "what"), [("prokd+mate+mate", "augmenter"), ("annealing+kd+logit-mse", "objective")]
)
def test_two_additions_of_one_kind_are_refused(expression: str, what: str) -> None:
    """Which of them would count?"""
    with pytest.raises(MethodError, match=f"more than one part brings an {what}"):
        METHODS.build(expression)


@pytest.mark.parametrize("expression", ["combined+mate", "mate+mate"])
def test_a_base_with_an_augmenter_takes_no_second_one(expression: str) -> None:
    """Its own would be replaced without a word."""
    with pytest.raises(MethodError, match="augmenter"):
        _stages(expression)


def test_nothing_can_be_added_to_a_method_without_a_teacher() -> None:
    """``finetune+mate`` has no stage that distills."""
    with pytest.raises(MethodError, match="method finetune\\+mate: 'finetune' has no distilling stage to add to"):
        _stages("finetune+mate")


def test_unknown_part_of_a_composition() -> None:
    """The part is named, with a suggestion."""
    with pytest.raises(UnknownNameError, match="unknown method 'mat': did you mean mate"):
        METHODS.build("prokd+mat")


def test_a_composition_is_defined_where_all_its_parts_are() -> None:
    """``kd+mate`` is for everything, ``kd+ard`` for images only."""
    assert supported_kinds("kd+mate") == list(KINDS) and supported_kinds("kd + ard") == [IMAGES]
    with pytest.raises(MethodError, match="method ard is not defined for text-classification"):
        METHODS.build("kd+ard")
    with pytest.raises(MethodError, match="is not defined for sound"):
        METHODS.build("kd+mate").check_kind("sound")
