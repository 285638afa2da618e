"""Token gradients of transformers: against finite differences, and aligned with what TextAttack calls words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from kdbench.attacks import _library, assets
from kdbench.attacks.gradients import token_gradients, word_vectors
from kdbench.attacks.spec import ATTACKS
from kdbench.inputs.text import TextReader
from tests.attacks.recipe_assets import tokenizer

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("textattack")]

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
CONFIGS = {
    "bert": lambda size: transformers.BertConfig(**SMALL, vocab_size=size),
    "roberta": lambda size: transformers.RobertaConfig(
        **SMALL, vocab_size=size, pad_token_id=0, max_position_embeddings=64
    ),
    "distilbert": lambda size: transformers.DistilBertConfig(
        dim=16, n_layers=2, n_heads=2, hidden_dim=16, vocab_size=size
    ),
}


@pytest.fixture(params=CONFIGS)
def victim(request):
    """A random classifier of three classes in double precision, and its reader."""
    torch.manual_seed(0)
    reader = TextReader(tokenizer(), max_length=32)
    if request.param == "distilbert":
        reader.tokenizer.model_input_names = ["input_ids", "attention_mask"]
    config = CONFIGS[request.param](len(reader.tokenizer))
    config.num_labels, config.initializer_range = 3, 0.5
    model = transformers.AutoModelForSequenceClassification.from_config(config).double().eval()
    return model, reader


def loss_at(model, reader, text, pair, table_rows):
    """The loss when some tokens' vectors are moved: {token id: shift}, each token being there once."""
    inputs = reader.tokenizer(text, pair, return_tensors="pt")
    table = model.get_input_embeddings().weight
    with torch.no_grad():
        label = model(**inputs).logits.argmax(1)
        before = table.clone()
        for row, shift in table_rows.items():
            table[row] += shift
        loss = torch.nn.functional.cross_entropy(model(**inputs).logits, label).item()
        table.copy_(before)
    return loss


@pytest.mark.parametrize("column", ["text", "text_pair"])
def test_gradients_are_those_of_finite_differences(victim, column):
    model, reader = victim
    pair = "the script is dull"
    tokens, gradient = token_gradients(model, reader, "a great film", pair, column)
    assert tokens == (["a", "great", "film"] if column == "text" else ["the", "script", "is", "dull"])
    assert gradient.shape == (len(tokens), 16) and gradient.dtype == np.float32
    for token, found in zip(tokens, gradient, strict=True):
        row = reader.tokenizer.convert_tokens_to_ids(token)
        for column_of in (0, 7):
            shift = torch.zeros(16, dtype=torch.float64)
            shift[column_of] = 1e-5
            up, down = (loss_at(model, reader, "a great film", pair, {row: sign * shift}) for sign in (1, -1))
            assert found[column_of] == pytest.approx((up - down) / 2e-5, abs=1e-6, rel=1e-4)
    assert np.abs(gradient).max() > 1e-3


def test_the_model_is_left_as_it_was(victim):
    model, reader = victim
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    with torch.inference_mode(False), torch.no_grad():
        token_gradients(model, reader, "a great film", None, "text")
    assert all((parameter.grad == 1).all() for parameter in model.parameters()) and not model.training


def test_tokens_are_cut_and_aligned_with_words(victim):
    assets.prepare(ATTACKS.get("pruthi"))
    model, reader = victim
    tokens, gradient = token_gradients(model, reader, "Filmly, un-great " + "film " * 60, None, "text")
    assert len(tokens) == len(gradient) == 30, "32 less the two special tokens"
    with _library.session():
        from textattack.models.wrappers import ModelWrapper
        from textattack.shared import AttackedText

        class Wrapper(ModelWrapper):
            def __call__(self, texts):
                raise NotImplementedError

            def _tokenize(self, inputs):
                return [token_gradients(model, reader, text, None, "text")[0] for text in inputs]

        aligned = AttackedText("Filmly, great films").align_with_model_tokens(Wrapper())
    assert aligned == {0: [0, 1], 1: [3], 2: [4, 5]}


def test_word_vectors(victim):
    model, reader = victim
    table = model.get_input_embeddings().weight.detach().numpy()
    film, plural = reader.tokenizer.convert_tokens_to_ids(["film", "##s"])
    found = word_vectors(model, reader, ["film", "films"])
    np.testing.assert_allclose(found, [table[film], (table[film] + table[plural]) / 2], rtol=1e-6)
    assert word_vectors(model, reader, []).shape == (0, 16)
