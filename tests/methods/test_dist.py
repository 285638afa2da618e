"""DIST: Pearson's correlations against numpy's, and what they do not see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from kdbench.methods import losses
from tests.methods.fake_outputs import context, first_objective, image_outputs, values


@pytest.mark.parametrize(("kind", "temperature"), [("text-classification", 1.0), ("image-classification", 4.0)])
def test_relations_of_rows_and_columns(kind: str, temperature: float) -> None:
    """T²·2·(1 - mean correlation) over classes of an example, and over examples of a class."""
    student, teacher = image_outputs(0, classes=4), image_outputs(1, classes=4)
    q, p = (softmax(o.logits.numpy() / temperature, axis=1) for o in (student, teacher))
    rows = np.mean([np.corrcoef(q[i], p[i])[0, 1] for i in range(len(q))])
    columns = np.mean([np.corrcoef(q[:, c], p[:, c])[0, 1] for c in range(4)])
    found = values(first_objective("dist", kind).soft(student, teacher, context()))
    expected = {"inter": temperature**2 * 2 * (1 - rows), "intra": temperature**2 * 2 * (1 - columns)}
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_row_may_be_stretched_and_shifted() -> None:
    """The correlation keeps the teacher's relations, not its numbers; a negative stretch is the opposite."""
    made = torch.Generator().manual_seed(0)
    left, right = torch.randn((2, 5, 4), generator=made, dtype=torch.float64)
    scale, shift = torch.rand((2, 5, 1), generator=made, dtype=torch.float64) + 0.1
    distance = losses.pearson_distance(left, right).item()
    assert losses.pearson_distance(left * scale + shift, right).item() == pytest.approx(distance, rel=1e-9)
    assert losses.pearson_distance(right * scale + shift, right).item() == pytest.approx(0, abs=1e-9)
    assert losses.pearson_distance(-right, right).item() == pytest.approx(2)


def test_constant_rows_have_no_correlation_and_no_gradient_that_is_not_finite() -> None:
    """A student that is equally unsure of all classes, at the start of many trainings."""
    student = torch.zeros(2, 3, requires_grad=True)
    distance = losses.pearson_distance(student, torch.tensor([[1.0, 2.0, 4.0]] * 2))
    distance.backward()
    assert distance.item() == 1 and torch.isfinite(student.grad).all()
