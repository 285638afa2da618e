"""Laws that every method of the second ring keeps."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kdbench.budget import Updates
from kdbench.errors import MethodError
from kdbench.methods.contract import Objective, Outputs
from kdbench.methods.kinds import KINDS, modality
from kdbench.methods.registry import METHODS
from kdbench.methods.stages import Trajectory
from tests.methods.fake_outputs import (
    BATCH,
    LABELS,
    at_work,
    context,
    first_objective,
    image_outputs,
    mapped,
    span_context,
    span_outputs,
    text_outputs,
    values,
)

TEXT, IMAGE = {kind for kind in KINDS if modality(kind) == "text"}, {"image-classification"}
CLASSES = {"text-classification", "image-classification"}
RING = {
    "dkd": CLASSES,
    "dist": CLASSES,
    "logit-std": set(KINDS) - {"text-regression"},
    "crd": CLASSES,
    "sp": set(KINDS),
    "rkd": set(KINDS),
    "fitnets": IMAGE,
    "at": IMAGE,
    "pkd": TEXT,
    "distilbert": TEXT,
    "rail": TEXT,
    "tinybert": TEXT,
    "minilm": TEXT,
}
CASES = [(name, kind) for name, kinds in RING.items() for kind in sorted(kinds)]
ZERO_AT_THE_TEACHER = sorted(set(RING) - {"crd", "fitnets", "rail", "tinybert"})  # theirs have weights in between


def _pair(kind: str) -> tuple[Outputs, Outputs]:
    if kind == "question-answering":
        return span_outputs(0), span_outputs(1)
    classes = 1 if kind == "text-regression" else 3
    make = image_outputs if modality(kind) == "image" else text_outputs
    return make(0, classes=classes), make(1, classes=classes)


def _context(kind: str, **settings: Any) -> Any:
    if kind == "question-answering":
        return span_context(**settings)
    labels = LABELS.double() if kind == "text-regression" else LABELS
    return context(**({"regression": kind == "text-regression", "labels": labels} | settings))


@pytest.mark.parametrize("name", RING)
def test_kinds(name: str) -> None:
    """A kind that makes no sense is refused when the method is built."""
    assert set(METHODS.get(name).kinds) == RING[name]
    for kind in set(KINDS) - RING[name]:
        with pytest.raises(MethodError, match=f"method {name} is not defined for {kind}"):
            METHODS.build(name, kind=kind)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_is_compared_reaches_the_student_and_every_weight_of_the_objective(name: str, kind: str) -> None:
    """Gradients are finite, and there are some for the regressors too."""
    student, teacher = _pair(kind)
    leaves = []

    def leaf(tensor: torch.Tensor) -> torch.Tensor:
        leaves.append(tensor.clone().requires_grad_())
        return leaves[-1]

    objective = at_work(first_objective(name, kind), student, teacher)
    terms = objective.soft(mapped(student, leaf), teacher, _context(kind))
    assert terms and all(value.ndim == 0 for value in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    gradients = [tensor.grad for tensor in leaves if tensor.grad is not None]
    assert any(gradient.any() for gradient in gradients) and all(g.isfinite().all() for g in gradients)
    if isinstance(objective, torch.nn.Module):
        assert all(
            weight.grad is not None and weight.grad.any() for weight in objective.parameters() if weight.ndim > 1
        )


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_order_of_the_batch_changes_nothing(name: str, kind: str) -> None:
    """The same permutation of everything that belongs to an example."""
    student, teacher = _pair(kind)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    moment = _context(kind)
    moved = _context(
        kind,
        labels=moment.labels[order],
        rows=moment.rows[order],
        inputs={name: tensor[order] for name, tensor in moment.inputs.items()},
    )
    found = values(at_work(first_objective(name, kind), student, teacher).soft(student, teacher, moment))
    shuffled = [mapped(outputs, lambda t: t[order]) for outputs in (student, teacher)]
    again = values(at_work(first_objective(name, kind), student, teacher).soft(*shuffled, moved))
    assert again == pytest.approx(found, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ZERO_AT_THE_TEACHER)
def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_it(name: str) -> None:
    """Every distance is 0, and no other pair is below."""
    kind = sorted(RING[name])[0]
    student, teacher = _pair(kind)
    objective = at_work(first_objective(name, kind), student, student)
    assert all(
        v == pytest.approx(0, abs=1e-6) for v in values(objective.soft(student, student, _context(kind))).values()
    )
    assert sum(values(objective.soft(student, teacher, _context(kind))).values()) > 0


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_mixed_precision_and_other_devices(name: str, kind: str) -> None:
    """A teacher in bf16 beside a student in fp32 is fine; on the meta device nothing lands elsewhere."""
    student, teacher = (mapped(outputs, torch.Tensor.float) for outputs in _pair(kind))
    half = mapped(teacher, torch.Tensor.bfloat16)
    half = Outputs(half.logits.float(), half.hidden_states, half.attentions, half.projections)  # logits come in fp32
    module = at_work(first_objective(name, kind), student, teacher)
    if isinstance(module, torch.nn.Module):
        module = module.float()
    moment = _context(kind)
    exact = values(at_work(first_objective(name, kind), *_pair(kind)).soft(*_pair(kind), moment))
    terms = module.soft(student, half, moment)
    assert values(terms) == pytest.approx(exact, rel=0.05, abs=0.02)
    meta = [mapped(outputs, lambda t: t.to("meta")) for outputs in (student, teacher)]
    if isinstance(module, torch.nn.Module):
        module = module.to("meta")
    elsewhere = _context(
        kind,
        labels=moment.labels.to("meta"),
        rows=moment.rows.to("meta"),
        inputs={name: tensor.to("meta") for name, tensor in moment.inputs.items()},
    )
    assert all(value.is_meta and not value.ndim for value in module.soft(*meta, elsewhere).values())


@pytest.mark.parametrize("added", ["dkd", "dist", "logit-std", "sp", "rkd", "crd", "pkd", "distilbert", "rail"])
def test_an_objective_can_be_annealed(added: str) -> None:
    """``annealing+dkd``: the schedule stays, the objective of its first stage is the addition's."""
    first, second = METHODS.build(f"annealing+{added}").stages(Updates(36, 6), Trajectory.nominal(3))
    assert first.objective == first_objective(added, "text-classification")
    assert len(first.legs) == 7 and second.name == "labels"


@pytest.mark.parametrize("added", ["tinybert", "minilm"])
def test_methods_of_two_stages_cannot_be_added(added: str) -> None:
    """They are schedules."""
    with pytest.raises(MethodError, match=f"'{added}' is a schedule"):
        METHODS.build(f"annealing+{added}")


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_trainer_is_told_what_is_needed(name: str, kind: str) -> None:
    """Logits come from the cache; anything else is asked for, and the teacher is run for it."""
    (first, *_) = METHODS.build(name, kind=kind).stages(Updates(40, 8), Trajectory.nominal(3))
    assert first.live_teacher == (name not in {"dkd", "dist", "logit-std"})
    assert isinstance(first.objective, Objective) and first.objective.uses_teacher


def test_views_of_a_batch_stacked_on_each_other_count_like_a_larger_batch() -> None:
    """Augmenters may make several views: labels and rows are repeated then."""
    student, teacher = _pair("text-classification")
    twice = [mapped(outputs, lambda t: torch.cat([t, t])) for outputs in (student, teacher)]
    moment = _context("text-classification", labels=LABELS.repeat(2), rows=torch.arange(BATCH).repeat(2), inputs={})
    for name in ("dkd", "logit-std", "distilbert"):
        objective = at_work(first_objective(name, "text-classification"), student, teacher)
        once = values(objective.soft(student, teacher, _context("text-classification", inputs={})))
        assert values(objective.soft(*twice, moment)) == pytest.approx(once)
