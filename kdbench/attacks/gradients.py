"""A classifier's gradients with respect to its token embeddings, for recipes that rank by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from kdbench.inputs.text import TokenReader

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from kdbench.attacks.text import Column


def token_gradients(
    model: PreTrainedModel, reader: TokenReader, text: str, pair: str | None, column: Column
) -> tuple[list[str], np.ndarray]:
    """The tokens of one column, and the gradient of the loss at the embedding of each.

    The loss is the cross-entropy of the model's own prediction (Yoo and Qi, EMNLP Findings 2021). Parameters
    keep the gradients that they had. Of BERT, RoBERTa and others the gradient is taken where a token's vector
    enters the model, before positions and segments are added.

    Args:
        model: a sequence classifier, in evaluation mode.
        reader: how it reads; its tokenizer must be a fast one.
        text: the first column.
        pair: the second column, or None.
        column: whose tokens are wanted.

    Returns:
        Tokens without special ones and without marks of a leading space, and their gradients
        ``(tokens, dimension)``, float32. What lies beyond the reader's ``max_length`` is left out.
    """
    tokenizer = reader.tokenizer
    longest = min(reader.max_length, tokenizer.model_max_length)
    encoding = tokenizer(text, pair, truncation=True, max_length=longest, return_tensors="pt")
    inputs = {name: value.to(model.device) for name, value in encoding.items()}
    ids = inputs.pop("input_ids")
    vectors = model.get_input_embeddings()(ids).detach().requires_grad_()
    with torch.enable_grad():
        logits = model(inputs_embeds=vectors, **inputs).logits.float()
        loss = torch.nn.functional.cross_entropy(logits, logits.argmax(dim=1))
        (gradient,) = torch.autograd.grad(loss, vectors)
    wanted = 1 if column == "text_pair" else 0
    rows = [row for row, sequence in enumerate(encoding.sequence_ids(0)) if sequence == wanted]
    tokens = tokenizer.convert_ids_to_tokens(ids[0, rows].tolist())
    return [token.replace("▁", "") for token in tokens], gradient[0, rows].float().cpu().numpy()


def word_vectors(model: PreTrainedModel, reader: TokenReader, words: Sequence[str]) -> np.ndarray:
    """The model's embedding of each word, ``(words, dimension)``, float32; of several tokens, their mean.

    Words are read as they are inside a sentence, after a space.
    """
    table = model.get_input_embeddings().weight.detach()
    if not words:
        return np.zeros((0, table.shape[1]), np.float32)
    encoded = reader.tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"]
    zero = table.new_zeros(table.shape[1])
    means = [table[ids].mean(dim=0) if ids else zero for ids in encoded]
    return torch.stack(means).float().cpu().numpy()
