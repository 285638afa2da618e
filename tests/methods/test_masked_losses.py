"""Losses on start and end logits: what cannot be an answer changes nothing, and has no gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kdbench.inputs.base import CLOSED
from kdbench.methods import losses
from kdbench.methods.augment.inner import divergence
from kdbench.methods.objectives import (
    ContinuationObjective,
    CrossEntropy,
    KDObjective,
    LogitMSE,
    StandardizedKD,
)
from tests.methods.fake_outputs import ANSWERABLE, ANSWERS, BATCH, TOKENS, span_context, span_outputs

MASK = ANSWERABLE[:, None, :]
OBJECTIVES = {
    "kd": KDObjective(0.5, 2.0),
    "mate": KDObjective(1 / 3, 1.0, "soft-ce"),
    "logit-mse": LogitMSE(),
    "continuation": ContinuationObjective(margin=0.1, final_psi=0.5, switch=0.7),
    "logit-std": StandardizedKD(0.1, 9.0, 2.0),
    "smoothing": CrossEntropy(0.2),
}
ALONE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": lambda s, t: losses.mse(s, t),
    "kl": lambda s, t: losses.kl_divergence(s, t, 2.0),
    "soft CE": lambda s, t: losses.soft_cross_entropy(s, t),
    "hinge": lambda s, t: losses.hinged_squared_distance(s, t, 0.5),
    "standardised": lambda s, t: losses.kl_divergence(losses.standardized(s), losses.standardized(t), 2.0),
}
MASKED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    **ALONE,
    "mse": lambda s, t: losses.mse(s, t, MASK),
    "standardised": lambda s, t: losses.kl_divergence(losses.standardized(s, MASK), losses.standardized(t, MASK), 2.0),
}


def _rows(logits: Tensor) -> list[Tensor]:
    """One row for each example and side, of its real logits only."""
    return [logits[i, side][ANSWERABLE[i]] for i in range(BATCH) for side in range(2)]


@pytest.mark.parametrize("name", ALONE)
def test_a_masked_loss_is_the_mean_of_the_losses_of_the_real_parts(name: str) -> None:
    """Each row alone, cut to what can be an answer, under the plain loss."""
    student, teacher = span_outputs(0).logits, span_outputs(1).logits
    parts = [
        ALONE[name](left[None], right[None])
        for left, right in zip(_rows(student), _rows(teacher), strict=True)
        if len(left) > 1 or name != "standardised"  # one value has no sample deviation
    ]
    whole = MASKED[name](student, teacher)
    expected = torch.stack(parts).sum() / (2 * BATCH)
    assert whole.item() == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_of_starts_and_ends(smoothing: float) -> None:
    """Mean over examples and both sides; smoothing spreads over the real positions."""
    logits = span_outputs(0).logits
    labels = [
        int(ANSWERABLE[i, : ANSWERS[i, side]].sum()) for i in range(BATCH) for side in range(2)
    ]  # place among the real ones
    parts = [
        F.cross_entropy(row[None], torch.tensor([label]), label_smoothing=smoothing)
        for row, label in zip(_rows(logits), labels, strict=True)
    ]
    found = losses.cross_entropy(logits, ANSWERS, smoothing, MASK)
    assert found.item() == pytest.approx(torch.stack(parts).mean().item(), rel=1e-9)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_closed_positions_change_nothing_and_get_no_gradient(name: str) -> None:
    """Whatever lies behind the batch: wider padding, the same loss; no gradient where no answer can be."""
    from dataclasses import replace

    objective = OBJECTIVES[name]
    student, teacher, context = span_outputs(0), span_outputs(1), span_context()
    leaf = student.logits.clone().requires_grad_()
    terms = objective.hard(replace(student, logits=leaf), ANSWERS, context) | objective.soft(
        replace(student, logits=leaf), teacher, context
    )
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    assert leaf.grad is not None and leaf.grad.isfinite().all()
    assert (leaf.grad.masked_select(~MASK) == 0).all() and leaf.grad.masked_select(MASK).any()
    wide = [replace(o, logits=F.pad(o.logits, (0, 4), value=CLOSED)) for o in (student, teacher)]
    inputs = {name: F.pad(value, (0, 4)) for name, value in context.inputs.items()}
    moment = replace(context, inputs=inputs)
    again = objective.hard(wide[0], ANSWERS, moment) | objective.soft(wide[0], wide[1], moment)
    assert torch.stack(list(again.values())).sum().item() == pytest.approx(total.item(), rel=1e-9)


def test_standardised_logits_have_mean_0_and_deviation_1_among_the_real_ones() -> None:
    """Closed ones stay closed; a single real one becomes 0."""
    found = losses.standardized(span_outputs(0).logits, MASK)
    for row in _rows(found):
        assert row.mean().item() == pytest.approx(0, abs=1e-9)
        assert len(row) == 1 or row.std().item() == pytest.approx(1, rel=1e-5)
    assert (found.masked_select(~MASK) == CLOSED).all() and found.shape == (BATCH, 2, TOKENS)


def test_what_generators_maximise_is_masked_too() -> None:
    """The MSE of Combined-KD's game, over real positions."""
    student, teacher = span_outputs(0).logits, span_outputs(1).logits
    expected = losses.mse(student, teacher, MASK)
    assert divergence("mse", student, teacher, mask=MASK).item() == expected.item()
    assert divergence("mse", student, teacher).item() < expected.item()
