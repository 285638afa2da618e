"""Queries, keys and values of real architectures, and attention weights on request."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    PreTrainedModel,
    RobertaConfig,
)

from kdbench.errors import MethodError
from kdbench.models.projections import capture_projections, enable_attentions

_SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "vocab_size": 40,
}
CONFIGS = {
    "bert": BertConfig(**_SIZES),
    "roberta": RobertaConfig(**_SIZES),
    "distilbert": DistilBertConfig(dim=16, n_layers=3, n_heads=4, hidden_dim=32, vocab_size=40),
}
INPUTS = {
    "input_ids": torch.randint(3, 40, (2, 6), generator=torch.Generator().manual_seed(0)),
    "attention_mask": torch.tensor([[1] * 6, [1] * 4 + [0] * 2]),
}


def _model(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(CONFIGS[name])


def _layers(model: Any, name: str) -> list[tuple[Any, Any, Any]]:
    """The projections by the libraries' own paths."""
    if name == "distilbert":
        attentions = [layer.attention for layer in model.distilbert.transformer.layer]
        return [(a.q_lin, a.k_lin, a.v_lin) for a in attentions]
    attentions = [layer.attention.self for layer in getattr(model, name).encoder.layer]
    return [(a.query, a.key, a.value) for a in attentions]


@pytest.mark.parametrize("name", CONFIGS)
def test_projections_of_every_layer_in_order(name: str) -> None:
    """What the linear maps make of the states that enter the layer; the model answers as before."""
    model = _model(name).eval()
    plain = model(**INPUTS).logits
    with torch.no_grad(), capture_projections(model) as captured:
        result = model(**INPUTS, output_hidden_states=True)
    assert torch.allclose(result.logits, plain) and len(captured) == 3
    for triple, maps, states in zip(captured, _layers(model, name), result.hidden_states[:-1], strict=True):
        for found, linear in zip(triple, maps, strict=True):
            assert found.shape == (2, 6, 16)
            torch.testing.assert_close(found, linear(states))


def test_gradients_flow_and_no_hook_stays() -> None:
    """Also after an error inside the block."""
    model = _model("bert").train()
    with capture_projections(model) as captured:
        model(**INPUTS)
    captured[-1][0].sum().backward()
    assert model.bert.embeddings.word_embeddings.weight.grad.any()
    with pytest.raises(TypeError), capture_projections(model):
        model(nonsense=1)
    assert not any(module._forward_hooks for module in model.modules())


def test_the_last_forward_pass_counts() -> None:
    """Of several inside one block."""
    model = _model("bert").eval()
    with torch.no_grad(), capture_projections(model) as twice:
        model(input_ids=INPUTS["input_ids"][:1])
        model(**INPUTS)
    assert [query.shape[0] for query, _, _ in twice] == [2, 2, 2]


def test_a_wrapped_model_is_seen_through() -> None:
    """As the trainer's process group wraps it."""
    model = _model("distilbert")

    class Wrapper(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = model

        def forward(self, **inputs: Any) -> Any:
            return self.module(**inputs)

    wrapper = Wrapper()
    with torch.no_grad(), capture_projections(wrapper) as captured:
        wrapper(**INPUTS)
    assert len(captured) == 3


def test_a_model_without_self_attention() -> None:
    """One clear line before anything runs."""
    with (
        pytest.raises(MethodError, match="Linear has no query, key and value layers"),
        capture_projections(torch.nn.Linear(2, 2)),
    ):
        raise AssertionError("not reached")


@pytest.mark.parametrize("name", CONFIGS)
def test_attentions_come_when_asked_for(name: str) -> None:
    """Whatever kernel the model was built with: distributions over real tokens, for every layer and head."""
    model = _model(name).eval()
    enable_attentions(model)
    attentions = model(**INPUTS, output_attentions=True).attentions
    assert [tuple(a.shape) for a in attentions] == [(2, 4, 6, 6)] * 3
    for attention in attentions:
        torch.testing.assert_close(attention.sum(-1), torch.ones(2, 4, 6))
        assert not attention[1, :, :, 4:].any()
