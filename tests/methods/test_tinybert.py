"""TinyBERT: three MSEs by loops over real tokens, attention scores against the library's own attention."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from kdbench.budget import Updates
from kdbench.errors import MethodError
from kdbench.methods import token_losses
from kdbench.methods.objectives import KDObjective
from kdbench.methods.objectives.layers import uniform_layers
from kdbench.methods.registry import METHODS
from kdbench.methods.stages import Trajectory
from kdbench.models.projections import capture_projections
from tests.methods.fake_outputs import LENGTHS, MASK, at_work, context, first_objective, text_outputs, values

TEXT = "text-classification"


def _scores(queries: np.ndarray, keys: np.ndarray, head: int) -> np.ndarray:
    """QKᵀ/√d of one head of two, in one example."""
    width = queries.shape[1] // 2
    part = slice(head * width, (head + 1) * width)
    return queries[:, part] @ keys[:, part].T / math.sqrt(width)


def test_three_terms_by_loops() -> None:
    """Layers 1, 2, 3 learn from 2, 4, 6; padding is left out of every mean."""
    student, teacher = text_outputs(0), text_outputs(1, layers=6, width=12)
    module = at_work(first_objective("tinybert", TEXT), student, teacher)
    hidden, embedding = (m.weight.detach().numpy() for m in (module.hidden_projection, module.embedding_projection))
    expected = {"attention": 0.0, "hidden": 0.0, "embeddings": 0.0}
    batch = len(LENGTHS)
    for row, length in enumerate(LENGTHS):
        states = [[h[row, :length].numpy() for h in o.hidden_states] for o in (student, teacher)]
        expected["embeddings"] += np.mean((states[0][0] @ embedding.T - states[1][0]) ** 2) / batch
        for m, n in ((1, 2), (2, 4), (3, 6)):
            expected["hidden"] += np.mean((states[0][m] @ hidden.T - states[1][n]) ** 2) / batch
            (q_s, k_s, _), (q_t, k_t, _) = (
                [t[row, :length].numpy() for t in o.projections[layer - 1]] for o, layer in ((student, m), (teacher, n))
            )
            gaps = [np.mean((_scores(q_s, k_s, h) - _scores(q_t, k_t, h)) ** 2) for h in range(2)]
            expected["attention"] += np.mean(gaps) / batch
    assert values(module.soft(student, teacher, context())) == pytest.approx(expected, rel=1e-9)
    assert module.hard(student, torch.zeros(batch), context()) == {}


def test_scores_are_what_bert_softens() -> None:
    """Softmax over real keys of the captured queries and keys is the library's own attention."""
    torch.manual_seed(0)
    config = BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, vocab_size=30)
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad(), capture_projections(model) as projections:
        result = model(torch.randint(30, MASK.shape), attention_mask=MASK, output_attentions=True)
    for (queries, keys, _), attention in zip(projections, result.attentions, strict=True):
        scores = token_losses.attention_scores(queries, keys, 4)
        softened = scores.masked_fill(~MASK.bool()[:, None, None, :], -torch.inf).softmax(-1)
        torch.testing.assert_close(softened, attention)


@pytest.mark.parametrize(("student", "teacher", "expected"), [(4, 12, [3, 6, 9, 12]), (6, 12, [2, 4, 6, 8, 10, 12])])
def test_layer_map(student: int, teacher: int, expected: list[int]) -> None:
    """g(m) = m·N/M: the paper's two students."""
    assert uniform_layers(student, teacher) == expected


def test_unlike_numbers_of_heads() -> None:
    """Attention is compared head by head."""
    with pytest.raises(MethodError, match="the student has 2 heads and the teacher 4"):
        at_work(first_objective("tinybert", TEXT), text_outputs(0), text_outputs(1, heads=4))


def test_two_stages_in_the_papers_proportion() -> None:
    """20 + 3 epochs on layers and on predictions, the second from the last student, without labels."""
    layers, predictions = METHODS.build("tinybert").stages(Updates(230, 10), Trajectory.nominal(3))
    assert (layers.steps, predictions.steps, predictions.start) == (200, 30, "last")
    assert layers.needs("hidden_states") and layers.needs("attentions") and layers.needs("projections")
    assert predictions.objective == KDObjective(0.0, 1.0, "soft-ce")
