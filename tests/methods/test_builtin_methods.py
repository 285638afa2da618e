"""Every built-in method: the laws all keep, and the stages METHODS.md asks for, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import kdbench.methods.builtin
from kdbench.budget import Updates
from kdbench.errors import MethodError
from kdbench.methods.augment.adversarial_embeddings import AdversarialEmbeddings
from kdbench.methods.augment.masked_text import MaskedText
from kdbench.methods.base import Method
from kdbench.methods.kinds import KINDS
from kdbench.methods.objectives import ContinuationObjective, CrossEntropy, KDObjective, LogitMSE
from kdbench.methods.registry import METHODS
from kdbench.methods.stages import Leg, Stage, TeacherRef, Trajectory

BUILTIN = sorted(
    path.stem.replace("_", "-")
    for path in Path(kdbench.methods.builtin.__file__).parent.glob("*.py")
    if not path.stem.startswith("_")
)
CASES = [(name, kind) for name in BUILTIN for kind in METHODS.get(name).kinds]
IMAGES = "image-classification"
ALL_KINDS = [
    "annealing",
    "checkpoint-kd",
    "combined",
    "continuation",
    "finetune",
    "kd",
    "logit-mse",
    "mate",
    "prokd",
    "random-teacher",
    "rco",
    "takd",
]
SOME_KINDS = {  # of methods that are not defined for all
    "label-smoothing": {"text-classification", "question-answering", IMAGES},
    "ard": {IMAGES},
    "rslad": {IMAGES},
    "freelb-kd": {"text-classification", "text-regression", "question-answering"},
}
TRAJECTORY = Trajectory.nominal(5, assistants=2)  # its best checkpoint is its last
BEST = TeacherRef("checkpoint", 4)
RELEASED_MATE = {
    "mask_rate": 0.3,
    "generator_steps": 10,
    "student_steps": 100,
    "generator_learning_rate": 5e-7,
    "generator_clip_norm": 5.0,
}


def _stages(
    name: str, total: int = 36, trajectory: Trajectory = TRAJECTORY, kind: str = KINDS[0], **settings: Any
) -> list[Stage]:
    return METHODS.build(name, {name: settings}, kind).stages(Updates(total, 6), trajectory)


def _route(stage: Stage) -> list[tuple[int, float, int]]:
    """(checkpoint, scale, updates) of every leg."""
    return [(leg.teacher.index, leg.scale, leg.steps) for leg in stage.legs if leg.teacher]


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("total", [2, 7, 36, 1001])
def test_a_matched_budget_is_spent_exactly(name: str, kind: str, total: int) -> None:
    """Equal student updates for every method, also for odd and tiny budgets."""
    stages = _stages(name, total, kind=kind)
    assert sum(stage.steps for stage in stages) == total
    assert all(leg.steps > 0 for stage in stages for leg in stage.legs)
    assert METHODS.build(name, kind=kind).cost(Updates(total, 6), TRAJECTORY).student_updates == total


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_teachers_exist_and_take_part_only_where_they_distil(name: str, kind: str) -> None:
    """A stage that compares with a teacher names one that exists, another stage names none."""
    known = {TeacherRef("checkpoint", index) for index in range(5)}
    known |= {TeacherRef("assistant", 1), TeacherRef("random")}
    for stage in _stages(name, kind=kind):
        teachers = {leg.teacher for leg in stage.legs}
        assert teachers - {None} <= known and bool(teachers - {None}) == stage.distills
        assert stage.augmenter is None or stage.distills
        assert all(0 < leg.scale <= 1 for leg in stage.legs)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_stages_are_the_same_every_time(name: str, kind: str) -> None:
    """A method keeps no state: planning it does not change the training."""
    method = METHODS.build(name, kind=kind)
    assert method.stages(Updates(40, 8), TRAJECTORY) == method.stages(Updates(40, 8), TRAJECTORY)
    assert _stages(name, kind=kind) == _stages(name, kind=kind)


@pytest.mark.parametrize("name", BUILTIN)
def test_a_method_says_where_it_comes_from_and_what_it_is_for(name: str) -> None:
    """Citation, docstring and kinds are what ``describe`` shows."""
    cls = METHODS.get(name)
    assert cls.name == name and cls.cite and cls.__doc__ and METHODS.source(name) == "kdbench"
    for kind in cls.kinds:
        assert all(field.description for field in cls.config_class(kind).model_fields.values())


@pytest.mark.parametrize("name", [*SOME_KINDS, *ALL_KINDS])
def test_methods_are_defined_for_all_kinds_unless_they_say_otherwise(name: str) -> None:
    """Images have no vocabulary, and scores have no classes."""
    assert set(METHODS.get(name).kinds) == SOME_KINDS.get(name, set(KINDS))
    for kind in set(KINDS) - set(METHODS.get(name).kinds):
        with pytest.raises(MethodError, match=f"method {name} is not defined for {kind}, only for"):
            METHODS.build(name, kind=kind)


def test_finetune_and_label_smoothing_have_no_teacher() -> None:
    """Controls: CE, plain and with smoothing 0.1."""
    assert _stages("finetune") == [Stage("finetune", (Leg(36),), CrossEntropy())]
    assert _stages("label-smoothing") == [Stage("label-smoothing", (Leg(36),), CrossEntropy(0.1))]


def test_kd_has_the_text_defaults_and_the_best_teacher() -> None:
    """α = 0.5, T = 2; the teacher is the best checkpoint unless the final one is asked for."""
    assert _stages("kd") == [Stage("kd", (Leg(36, BEST),), KDObjective(0.5, 2.0))]
    points = [type(p)(p.index, p.epoch, p.step, -p.score) for p in TRAJECTORY.checkpoints]
    falling = Trajectory(tuple(points))
    assert _route(_stages("kd", trajectory=falling)[0]) == [(0, 1.0, 36)]
    assert _route(_stages("kd", trajectory=falling, teacher="final")[0]) == [(4, 1.0, 36)]
    assert _stages("kd", alpha=0.1, temperature=4)[0].objective == KDObjective(0.1, 4.0)


def test_logit_mse_ignores_labels_by_default() -> None:
    """The control for Annealing-KD: the same loss without annealing."""
    assert _stages("logit-mse") == [Stage("logit-mse", (Leg(36, BEST),), LogitMSE(0.0))]
    assert _stages("logit-mse", alpha=0.3)[0].objective == LogitMSE(0.3)


def test_annealing() -> None:
    """28 + 8 updates: Φ = 1/7 … 1 for 4 updates each on logits, then labels from the best student."""
    first, second = _stages("annealing", 36)
    assert first.objective == LogitMSE() and first.augmenter is None and first.start == "last"
    assert _route(first) == [(4, pytest.approx(t / 7), 4) for t in range(1, 8)]
    assert second == Stage("labels", (Leg(8),), CrossEntropy(), None, "best")


def test_annealing_under_the_papers_budget() -> None:
    """14 + 4 epochs, two for each temperature."""
    stages = METHODS.build("annealing").stages(Updates(36, 100, paper=True), TRAJECTORY)
    assert [stage.steps for stage in stages] == [1400, 400]
    assert [leg.steps for leg in stages[0].legs] == [200] * 7


def test_continuation() -> None:
    """Φ over the first two thirds (Tmax 10), ψ half at the switch, then labels; one optimizer throughout."""
    (stage,) = _stages("continuation", 60)
    assert stage.objective == ContinuationObjective(1.0, 0.5, 40 / 60)
    guided, rest = stage.legs[:-1], stage.legs[-1]
    assert [(leg.scale, leg.steps) for leg in guided] == [(pytest.approx(t / 10), 4) for t in range(1, 11)]
    assert rest.steps == 20


@pytest.mark.parametrize("total", [1, 2, 5, 7, 31, 100])
def test_continuation_has_psi_one_exactly_where_the_annealing_is_over(total: int) -> None:
    """Φ ends at 1 with the last update before the switch, whatever the rounding."""
    (stage,) = _stages("continuation", total)
    assert isinstance(stage.objective, ContinuationObjective)
    scales = [leg.scale for leg in stage.legs for _ in range(leg.steps)]
    guided = [step for step in range(total) if stage.objective.psi(step / total) < 1]
    assert guided == list(range(max(1, round(total * 2 / 3))))
    assert scales[guided[-1]] == 1.0


def test_psi_rises_as_in_the_paper() -> None:
    """i/40 at epoch i of 30, up to 20; then 1."""
    objective = ContinuationObjective(1.0, 0.5, 2 / 3)
    assert [objective.psi(i / 30) for i in (0, 4, 10, 19)] == pytest.approx([0, 0.1, 0.25, 19 / 40])
    assert [objective.psi(i / 30) for i in (20, 25, 29)] == [1, 1, 1]


def test_takd_learns_from_the_smallest_assistant() -> None:
    """``kd`` from the assistant next to the student; every link has the same settings."""
    (stage,) = _stages("takd", temperature=3.0)
    assert stage.legs == (Leg(36, TeacherRef("assistant", 1)),) and stage.objective == KDObjective(0.5, 3.0)
    name, settings = METHODS.build("takd", {"takd": {"temperature": 3.0}}).assistant_method()
    link = METHODS.build(name, {name: settings}).stages(Updates(36, 6), TRAJECTORY)
    assert link == [Stage("kd", (Leg(36, BEST),), KDObjective(0.5, 3.0))]
    assert METHODS.build("takd").cost(Updates(36, 6), TRAJECTORY).assistants == 2


def test_takd_without_an_assistant_says_what_to_add() -> None:
    """The pair is the place to name one."""
    with pytest.raises(MethodError, match=r"needs an assistant.*add 'assistants' to the pair"):
        _stages("takd", trajectory=Trajectory.nominal(3))


def test_rco_walks_the_anchors_with_kd() -> None:
    """Four of ten checkpoints at equal intervals, the last one final, in one stage."""
    (stage,) = _stages("rco", 40, Trajectory.nominal(10))
    assert _route(stage) == [(2, 1.0, 10), (4, 1.0, 10), (7, 1.0, 10), (9, 1.0, 10)]
    assert stage.objective == KDObjective(0.5, 2.0)
    (short,) = _stages("rco", 40, Trajectory.nominal(2))
    assert _route(short) == [(0, 1.0, 20), (1, 1.0, 20)]


@pytest.mark.parametrize(("index", "expected"), [(0, 0), (3, 3), (-1, 4), (-5, 0)])
def test_checkpoint_kd_counts_from_both_ends(index: int, expected: int) -> None:
    """k from 0; negative from the end."""
    assert _route(_stages("checkpoint-kd", checkpoint=index)[0]) == [(expected, 1.0, 36)]


@pytest.mark.parametrize("index", [5, -6])
def test_checkpoint_kd_outside_the_trajectory(index: int) -> None:
    """The message names the index and the length."""
    with pytest.raises(MethodError, match=f"checkpoint {index} does not exist, the trajectory has 5"):
        _stages("checkpoint-kd", checkpoint=index)


def test_random_teacher_is_kd_from_random_weights() -> None:
    """The control differs from ``kd`` in the teacher alone."""
    assert _stages("random-teacher") == [
        Stage("random-teacher", (Leg(36, TeacherRef("random")),), KDObjective(0.5, 2.0))
    ]


def test_prokd_follows_all_footprints_then_the_labels() -> None:
    """T1 … T5 with 1/τ for τ = 3, 2.5, 2, 1.5, 1 on logits, then CE from the best student."""
    general, task = _stages("prokd", 45)
    scales = [1 / 3, 1 / 2.5, 1 / 2, 1 / 1.5, 1.0]
    assert _route(general) == [(index, pytest.approx(scale), 7) for index, scale in enumerate(scales)]
    assert general.legs[-1].scale == 1.0
    assert general.objective == LogitMSE() and general.start == "last"
    assert task == Stage("task", (Leg(10),), CrossEntropy(), None, "best")


def test_prokd_settings() -> None:
    """KL at a temperature, no adaptive scale, fewer footprints: all explicit."""
    general, _ = _stages("prokd", 45, loss="kl", temperature=2.0, adaptive_temperature=False, checkpoints=2)
    assert general.objective == KDObjective(0.0, 2.0)
    assert [(index, scale) for index, scale, _ in _route(general)] == [(2, 1.0), (4, 1.0)]
    (only,) = _route(_stages("prokd", 45, trajectory=Trajectory.nominal(1))[0])
    assert only[:2] == (0, 1.0)


def test_mate_is_a_third_of_labels_with_the_released_settings() -> None:
    """The soft two thirds are halved over x and x' by the trainer; D is the soft CE at T = 1."""
    (stage,) = _stages("mate")
    assert stage.legs == (Leg(36, BEST),) and stage.objective == KDObjective(1 / 3, 1.0, "soft-ce")
    assert stage.augmenter == MaskedText(divergence="soft-ce", warmup_steps=300, **RELEASED_MATE)


def test_combined_is_annealing_with_masked_text_and_then_labels_on_original_data() -> None:
    """Defects 1 and 5: stage I keeps its augmenter, stage II has neither augmenter nor generator."""
    first, second = _stages("combined", 40)
    assert first.objective == LogitMSE() and first.start == "last"
    assert first.augmenter == MaskedText(divergence="mse", warmup_steps=300, **RELEASED_MATE)
    assert _route(first) == [(4, pytest.approx(t / 10), 3) for t in range(1, 11)]
    assert second == Stage("labels", (Leg(10),), CrossEntropy(), None, "best")


def test_combined_costs_no_generator_updates_in_stage_two() -> None:
    """300 of 400 updates are stage I: three rounds of ten; the teacher runs live in stage I only."""
    cost = METHODS.build("combined").cost(Updates(400, 100), TRAJECTORY)
    assert (cost.student_updates, cost.live_teacher_updates, cost.generator_updates) == (400, 300, 30)
    assert cost.cached_checkpoints == 1


@pytest.mark.parametrize("kind", ["text-classification", "text-regression"])
def test_freelb_kd_is_kd_on_perturbed_embeddings(kind: str) -> None:
    """Three views with the loss of ``kd``; the temperature inside is the one outside."""
    (stage,) = _stages("freelb-kd", kind=kind, temperature=3.0)
    assert stage.objective == KDObjective(0.5, 3.0) and stage.legs == (Leg(36, BEST),)
    assert stage.augmenter == AdversarialEmbeddings(3.0, epsilon=0.28, initial_norm=0.16, step_size=0.1, steps=3)
    assert (stage.augmenter.teacher_reads, stage.augmenter.share) == ("original", 1.0)


@pytest.mark.parametrize(("updates", "expected"), [(1, 10), (100, 10), (101, 20), (250, 30)])
def test_generator_updates_are_counted_by_started_rounds(updates: int, expected: int) -> None:
    """Ten at the start of every hundred."""
    assert METHODS.build("mate").cost(Updates(updates, 10), TRAJECTORY).generator_updates == expected


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("kd", {"temprature": 4}, r"method kd: temprature: unknown key; did you mean 'temperature'\?"),
        ("kd", {"temperature": 0}, "method kd: temperature: Input should be greater than 0"),
        ("kd", {"alpha": 1.5}, "method kd: alpha: Input should be less than or equal to 1"),
        ("kd", {"alpha": "much"}, "method kd: alpha: Input should be a valid number"),
        ("kd", {"teacher": "worst"}, "method kd: teacher: Input should be 'best' or 'final'"),
        ("annealing", {"max_temperature": 0}, "method annealing: max_temperature: .*greater than or equal to 1"),
        ("mate", {"mask_rate": 1.0}, "method mate: mask_rate: Input should be less than 1"),
        ("rco", {"anchors": 0}, "method rco: anchors: Input should be greater than or equal to 1"),
        ("continuation", {"switch": 1.0}, "method continuation: switch: Input should be less than 1"),
        ("label-smoothing", {"smoothing": 0.0}, "method label-smoothing: smoothing: .*greater than 0"),
        ("ard", {"epsilon": 8}, "method ard: epsilon: Input should be less than or equal to 1"),
        ("ard", {"alpha": 0}, "method ard: alpha: Input should be greater than 0"),
        ("rslad", {"share": 0}, "method rslad: share: Input should be greater than 0"),
        ("rslad", {"steps": 0}, "method rslad: steps: Input should be greater than or equal to 1"),
        ("freelb-kd", {"epsilon": 0}, "method freelb-kd: epsilon: Input should be greater than 0"),
    ],
)
def test_settings_that_cannot_be(name: str, settings: dict[str, Any], message: str) -> None:
    """One line that names the method, the setting and the remedy."""
    kind = METHODS.get(name).kinds[0]
    with pytest.raises(MethodError, match=message):
        METHODS.build(name, {name: settings}, kind)


@pytest.mark.parametrize("name", ["annealing", "prokd", "combined"])
@pytest.mark.parametrize("epochs", [(0, 0), (14, -4)])
def test_stage_lengths_must_be_positive(name: str, epochs: tuple[float, float]) -> None:
    """A stage of no or negative length is an error of the settings, not a traceback or a silent change."""
    with pytest.raises(MethodError, match="epochs"):
        METHODS.build(name, {name: {"epochs": epochs}})


def test_every_problem_is_named_at_once() -> None:
    """Two wrong settings, two lines."""
    with pytest.raises(MethodError) as caught:
        METHODS.build("kd", {"kd": {"alpha": 2, "colour": 1}})
    assert len(str(caught.value).splitlines()) == 2


def test_a_config_object_and_a_mapping_mean_the_same() -> None:
    """Both are validated; settings cannot be changed afterwards."""
    cls = METHODS.get("kd")
    method: Method = cls(cls.Config(alpha=0.2))
    assert method.config == METHODS.build("kd", {"kd": {"alpha": 0.2}}).config
    with pytest.raises(ValueError, match="frozen"):
        method.config.alpha = 0.3
