"""How far texts are from their originals, and how likely a language model finds them, by hand and by brute force."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForMaskedLM, GPT2Config, GPT2LMHeadModel

from kdbench.attacks.likelihood import LanguageModel, Likelihood
from kdbench.attacks.quality import cosine, perplexity, share_of_words_changed, summarize_quality
from kdbench.errors import ModelError
from kdbench.models.tiny import tiny_config, tiny_tokenizer

TEXTS = ["the movie was good", "xyz", "a film of no great plot, and bad"]


def test_shares_of_changed_words() -> None:
    """Insertions can change more words than there were, and a text of no word is not divided by 0."""
    assert share_of_words_changed(np.array([4, 2, 0]), np.array([1, 5, 0])).tolist() == [0.25, 1.0, 0.0]


def test_cosines_of_rows_of_length_1() -> None:
    first = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], dtype=np.float32)
    second = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, -1.0]], dtype=np.float32)
    assert cosine(first, second) == pytest.approx([1.0, 0.96, -1.0])
    assert cosine(first[:0], second[:0]).shape == (0,)


def test_perplexity_of_equally_likely_tokens_is_their_number() -> None:
    found = perplexity(np.array([3 * math.log(1 / 50), 0.0]), np.array([3, 0]))
    assert found[0] == pytest.approx(50) and math.isnan(found[1])


def test_summary_of_successes() -> None:
    """0.8 is not below 0.8; ratios 2 and 8 have the geometric mean 4, and one that is unknown is left out."""
    found = summarize_quality(np.array([0.1, 0.3, 0.2]), np.array([0.8, 0.79, 0.9]), np.array([2.0, math.nan, 8.0]))
    assert found == pytest.approx(
        {"words_changed": 0.2, "similarity": 0.83, "low_similarity": 1 / 3, "perplexity_ratio": 4.0}
    )


def test_without_successes_nothing_was_changed() -> None:
    none = np.zeros(0)
    unchanged = {"words_changed": 0.0, "similarity": 1.0, "low_similarity": 0.0}
    assert summarize_quality(none, none) == unchanged
    assert summarize_quality(none, none, none) == {**unchanged, "perplexity_ratio": 1.0}


def save_model(folder: Path, likelihood: Likelihood, **special: str) -> Any:
    """A tiny random language model over characters, peaked enough that texts differ."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens(special)
    if likelihood == "masked":
        model: Any = BertForMaskedLM(tiny_config(2, 16))
    else:
        config = GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=2, n_head=2)
        model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval()


@pytest.mark.parametrize("special", [{}, {"bos_token": "[CLS]"}], ids=["no start", "start"])
def test_causal_likelihood_is_the_product_over_prefixes(tmp_path: Path, special: dict[str, str]) -> None:
    """Token by token, each prefix read by itself; without a start of text, nothing predicts the first token."""
    model, tokenizer = save_model(tmp_path, "causal", **special), tiny_tokenizer()
    sums, counts = LanguageModel(tmp_path).log_likelihoods([*TEXTS, ""])
    for text, total, count in zip(TEXTS, sums, counts, strict=False):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        row = [tokenizer.cls_token_id, *ids] if special else ids
        expected = 0.0
        for end in range(1, len(row)):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([row[:end]])).logits[0, -1]
            expected += float(logits.log_softmax(-1)[row[end]])
        assert total == pytest.approx(expected, rel=1e-4) and count == len(row) - 1
    assert sums[-1] == 0 and counts[-1] == 0
    assert len(set(perplexity(sums, counts)[:3].round(3))) == 3


def test_masked_likelihood_masks_one_token_at_a_time(tmp_path: Path) -> None:
    """Pseudo-log-likelihood: special tokens are read and not scored."""
    model, tokenizer = save_model(tmp_path, "masked"), tiny_tokenizer()
    sums, counts = LanguageModel(tmp_path, "masked").log_likelihoods(TEXTS)
    for text, total, count in zip(TEXTS, sums, counts, strict=True):
        row = tokenizer(text)["input_ids"]
        expected = 0.0
        for place in range(1, len(row) - 1):
            hidden = list(row)
            hidden[place] = tokenizer.mask_token_id
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([hidden])).logits[0, place]
            expected += float(logits.log_softmax(-1)[row[place]])
        assert total == pytest.approx(expected, rel=1e-4) and count == len(row) - 2


def test_long_texts_are_cut_to_what_the_model_can_read(tmp_path: Path) -> None:
    save_model(tmp_path, "causal")
    _, counts = LanguageModel(tmp_path).log_likelihoods(["a " * 100])
    assert counts.tolist() == [63]


def test_what_is_no_language_model_is_refused(tmp_path: Path) -> None:
    """A folder without files, and an encoder whose head would be drawn at random."""
    with pytest.raises(ModelError, match="no causal language model can be loaded from here"):
        LanguageModel(tmp_path)
    BertForMaskedLM(tiny_config(1, 16)).bert.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"is no masked language model: it lacks cls\.predictions"):
        LanguageModel(tmp_path, "masked")
