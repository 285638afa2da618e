"""Logit standardisation: the paper's own toy case, z-scores of scipy, and what they do not see."""

from __future__ import annotations

import pytest
import torch
from scipy.special import log_softmax, softmax
from scipy.stats import zscore

from kdbench.methods import losses
from tests.methods.fake_outputs import LABELS, context, first_objective, image_outputs, values

# figure 2 of the paper: standardised logits of the teacher and of student S1, who is wrong
TEACHER, WRONG = [-1.162, 1.162, 0.387, -0.387], [-1.320, 0.660, 0.880, -0.220]


def test_the_papers_toy_case() -> None:
    """Standardised already, S1 has a loss of 0.0995 at T = 1; any student with the teacher's relations has 0."""
    teacher, wrong = torch.tensor([TEACHER]), torch.tensor([WRONG])
    for logits in (teacher, wrong):  # z-scores are those of the sample: the figure's are left as they are
        assert torch.allclose(losses.standardized(logits), logits, atol=1e-3)
    standard = [losses.standardized(logits * 3 + 1) for logits in (wrong, teacher)]
    assert losses.kl_divergence(*standard).item() == pytest.approx(0.0995, abs=2e-4)
    related = losses.standardized(teacher / 7 - 2)
    assert losses.kl_divergence(related, losses.standardized(teacher)).item() == pytest.approx(0, abs=1e-6)


def test_the_whole_loss() -> None:
    """0.1·CE of the plain logits, 9·T²·KL of the z-scores at T = 2."""
    student, teacher = image_outputs(0, classes=5), image_outputs(1, classes=5)
    z_s, z_t = (zscore(o.logits.numpy() * s, axis=1, ddof=1) / 2 for o, s in ((student, 3), (teacher, 1)))
    p = softmax(z_t, axis=1)
    kl = (p * (log_softmax(z_t, axis=1) - log_softmax(z_s, axis=1))).sum(1).mean()
    objective = first_objective("logit-std", "image-classification")
    assert values(objective.soft(student, teacher, context())) == pytest.approx({"soft": 9 * 4 * kl}, rel=1e-6)
    ce = torch.nn.functional.cross_entropy(student.logits, LABELS).item()
    assert objective.hard(student, LABELS, context())["hard"].item() == pytest.approx(0.1 * ce)


def test_equal_logits_are_no_traceback() -> None:
    """No deviation: z-scores of 0, finite gradients."""
    student = torch.ones(2, 4, requires_grad=True)
    standard = losses.standardized(student)
    losses.kl_divergence(standard, losses.standardized(torch.randn(2, 4))).backward()
    assert not standard.any() and torch.isfinite(student.grad).all()
