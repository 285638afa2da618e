"""A classifier under attack: what it is asked, and what it answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from kdbench.attacks.classifier import ClassifierVictim
from kdbench.attacks.first_token import only_first_token, reads_first_token_only
from kdbench.inputs.text import TextReader
from kdbench.locations import Locations
from kdbench.models.build import load_tokenizer
from kdbench.models.spec import PAIRS
from kdbench.tasks.dataset import TextExamples
from kdbench.training.predict import predict

TEXTS = ["A fine film.", "dull", "it is a very long and rather tedious story about nothing at all", "", "A FINE film."]
SIZES = {
    "num_labels": 3,
    "num_attention_heads": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "initializer_range": 1.0,
}


@pytest.fixture(scope="module")
def reader():
    return TextReader(load_tokenizer(PAIRS.get("minilm-l6-l3").student, Locations()), 32)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(num_hidden_layers=2, **SIZES)).eval()


def plain(model, reader, texts, pairs=None):
    rows = TextExamples(
        ids=[""] * len(texts), labels=np.zeros(len(texts), np.int64), groups=None, texts=texts, pairs=pairs
    )
    return predict(model, reader.encode(rows))


@pytest.mark.parametrize("tokens", [1, 16, 64, 65536])
@pytest.mark.parametrize("pairs", [None, ["so", "it goes", "so", "on", "so"]])
def test_logits_are_those_of_the_model(model, reader, tokens, pairs):
    victim = ClassifierVictim(model, reader, tokens)
    logits = victim.logits(TEXTS, pairs)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, plain(model, reader, TEXTS, pairs), rtol=1e-4, atol=1e-4)
    assert victim.shortened
    assert np.ptp(logits, axis=0).min() > 0.1


def test_what_the_tokenizer_cannot_tell_apart_is_read_once(model, reader):
    victim = ClassifierVictim(model, reader)
    logits = victim.logits(TEXTS, None)
    assert victim.rows == len(TEXTS) - 1
    assert (logits[0] == logits[-1]).all()
    again = victim.logits(["a fine FILM.", "new"], None)  # in another batch, with another neighbour
    assert victim.rows == len(TEXTS)
    assert (again[0] == logits[0]).all()
    assert victim.logits(["dull"], ["a"]).tolist() != victim.logits(["dull"], ["b"]).tolist()


def test_batches_hold_as_many_tokens_as_they_may(model, reader):
    few, many = ClassifierVictim(model, reader, 24), ClassifierVictim(model, reader, 65536)
    few.logits(TEXTS, None)
    many.logits(TEXTS, None)
    assert (many.calls, many.batches) == (1, 1)
    assert (few.calls, few.batches) == (1, 2)  # the long one, and three short ones of 7 tokens and less


def test_the_model_is_attacked_in_evaluation_mode(model, reader):
    victim = ClassifierVictim(model.train(), reader)
    first = victim.logits(["dull story"], None)
    np.testing.assert_allclose(first, plain(model.eval(), reader, ["dull story"]), rtol=1e-4, atol=1e-4)


def _inputs():
    torch.manual_seed(1)
    ids = torch.randint(5, 90, (3, 9))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.mark.parametrize(
    ("build", "config"),
    [
        (BertForSequenceClassification, BertConfig(num_hidden_layers=3, vocab_size=99, **SIZES)),
        (RobertaForSequenceClassification, RobertaConfig(num_hidden_layers=1, vocab_size=99, **SIZES)),
    ],
)
def test_encoders_like_bert_are_shortened(build, config):
    torch.manual_seed(0)
    model, inputs = build(config).eval(), _inputs()
    assert reads_first_token_only(model, inputs)
    widths = []
    model.base_model.encoder.layer[-1].output.register_forward_hook(lambda *args: widths.append(args[2].shape[1]))
    with torch.inference_mode():
        whole = model(**inputs).logits
        with only_first_token(model):
            part = model(**inputs).logits
        model(**inputs)
    torch.testing.assert_close(part, whole, rtol=1e-4, atol=1e-4)
    assert widths == [9, 1, 9]


class MeanOfTokens(BertForSequenceClassification):
    """A head that reads every token."""

    def forward(self, **inputs):
        output = super().forward(**inputs, output_hidden_states=True)
        output.logits = self.classifier(output.hidden_states[-1].mean(1))
        return output


@pytest.mark.parametrize(
    ("build", "config"),
    [
        (MeanOfTokens, BertConfig(num_hidden_layers=2, vocab_size=99, **SIZES)),
        (BertForTokenClassification, BertConfig(num_hidden_layers=2, vocab_size=99, **SIZES)),
        (AlbertForSequenceClassification, AlbertConfig(num_hidden_layers=2, vocab_size=99, **SIZES)),
        (
            DistilBertForSequenceClassification,
            DistilBertConfig(n_layers=2, dim=32, hidden_dim=64, n_heads=2, vocab_size=99, num_labels=3),
        ),
    ],
)
def test_others_are_left_as_they_are(build, config):
    torch.manual_seed(0)
    assert not reads_first_token_only(build(config).eval(), _inputs())
