"""The straight-through look-up equals torch's own Gumbel-softmax times word embeddings, both ways."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from scipy.stats import chisquare
from torch import Tensor

from kdbench.methods.augment.straight_through import StraightThrough, gumbel_noise, sample_tokens


def _logits(rows: int = 7, vocabulary: int = 20) -> Tensor:
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(1)) * 2


def _words(width: int, seed: int) -> Tensor:
    return torch.randn(20, width, generator=torch.Generator().manual_seed(seed))


def test_forward_and_backward_equal_the_one_hot_product() -> None:
    """For two models at once, with the same noise: values and the gradient of the logits."""
    matrices, results = (_words(5, 2), _words(8, 3)), []
    for direct in (True, False):
        logits = _logits().requires_grad_()
        torch.manual_seed(4)
        if direct:
            outputs = StraightThrough.apply(logits, *matrices)
        else:
            choice = F.gumbel_softmax(logits, tau=1.0, hard=True)
            outputs = tuple(choice @ matrix for matrix in matrices)
        loss = outputs[0].pow(3).sum() + outputs[1].sin().sum()
        loss.backward()
        results.append((outputs, logits.grad))
    for found, expected in zip(results[0][0], results[1][0], strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(results[0][1], results[1][1], atol=1e-4, rtol=1e-4)


def test_both_models_read_the_same_words() -> None:
    """Every output row is one row of its matrix, the same one in all."""
    one, two = _words(5, 2), _words(8, 3)
    left, right = StraightThrough.apply(_logits(), one, two)
    tokens = [int((one == row).all(1).nonzero()) for row in left]
    assert torch.equal(right, two[tokens])


def test_embeddings_get_no_gradient() -> None:
    """Student and teacher are constants of the generator's game."""
    words = _words(5, 2).requires_grad_()
    (filled,) = StraightThrough.apply(_logits().requires_grad_(), words)
    filled.sum().backward()
    assert words.grad is None


def test_half_precision_logits_get_half_precision_gradients() -> None:
    """As autocast has it; the softmax itself is computed in full precision."""
    logits = _logits().bfloat16().requires_grad_()
    (filled,) = StraightThrough.apply(logits, _words(5, 2))
    filled.square().sum().backward()
    assert logits.grad is not None and logits.grad.dtype == torch.bfloat16 and torch.isfinite(logits.grad).all()


def test_noise_is_standard_gumbel() -> None:
    """Mean γ, variance π²/6, and never infinite."""
    torch.manual_seed(0)
    noise = gumbel_noise(torch.empty(300, 1000)).double()
    assert torch.isfinite(noise).all()
    assert noise.mean().item() == pytest.approx(np.euler_gamma, abs=0.01)
    assert noise.var().item() == pytest.approx(np.pi**2 / 6, rel=0.02)


@pytest.mark.parametrize("sampler", ["inversion", "gumbel"])
def test_both_samplers_draw_from_the_softmax(sampler: str) -> None:
    """χ² of 20 000 draws; the student's path and the generator's path sample alike."""
    torch.manual_seed(0)
    row = _logits(1)
    logits = row.expand(20_000, -1)
    identity = torch.eye(20)
    tokens = sample_tokens(logits) if sampler == "inversion" else StraightThrough.apply(logits, identity)[0].argmax(-1)
    expected = row[0].double().softmax(-1).numpy() * 20_000
    found = np.bincount(tokens.numpy(), minlength=20)
    assert chisquare(found, expected / expected.sum() * found.sum()).pvalue > 1e-3


def test_rows_are_sampled_independently_also_across_chunks() -> None:
    """300 rows, each with one possible token; and none at all."""
    wanted = torch.arange(300) % 20
    logits = torch.full((300, 20), -1e4)
    logits[torch.arange(300), wanted] = 0.0
    assert torch.equal(sample_tokens(logits), wanted)
    assert sample_tokens(torch.empty(0, 20)).shape == (0,)


def test_an_impossible_token_is_never_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when the random number is exactly 0, which float32 gives once in 16 million draws."""
    monkeypatch.setattr(torch, "rand", lambda *size, **options: torch.zeros(*size, **options))
    logits = torch.tensor([[-torch.inf, 0.0, 0.0]])
    assert sample_tokens(logits).tolist() == [1]
