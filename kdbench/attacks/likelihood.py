"""How likely a language model finds texts, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from kdbench.errors import ModelError

Likelihood = Literal["causal", "masked"]
_BATCH = 16
_LONGEST = 512  # tokens


class LanguageModel:
    """A language model in fp32, from safetensors.

    Args:
        source: a Hugging Face model directory, or the id of a model on the hub.
        likelihood: ``causal`` predicts each token from those before it. ``masked`` predicts each token from all others,
            by masking one at a time: the pseudo-log-likelihood of Salazar et al. (ACL 2020, eq. 1).
        revision: commit of a model on the hub.
        device: where it runs.

    Raises:
        ModelError: it is no such model, or its tokenizer cannot mask.
    """

    def __init__(
        self, source: Path | str, likelihood: Likelihood = "causal", *, revision: str = "main", device: str = "cpu"
    ) -> None:
        factory: Any = AutoModelForCausalLM if likelihood == "causal" else AutoModelForMaskedLM
        common: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, **common)
            model, info = factory.from_pretrained(source, use_safetensors=True, output_loading_info=True, **common)
        except (OSError, ValueError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{source}: no {likelihood} language model can be loaded from here: {reason}") from error
        if info["missing_keys"]:
            lacking = ", ".join(sorted(info["missing_keys"]))
            raise ModelError(f"{source}: is no {likelihood} language model: it lacks {lacking}")
        if likelihood == "masked" and self._tokenizer.mask_token_id is None:
            raise ModelError(f"{source}: its tokenizer has no mask: ask for likelihood causal")
        self._model = model.float().to(device).eval()
        self._likelihood = likelihood
        self._device = device
        self._longest = min(_LONGEST, getattr(model.config, "max_position_embeddings", _LONGEST))

    def log_likelihoods(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Log-likelihood of each text (natural logarithm), and the number of tokens it is of, ``(n,)`` each.

        Special tokens are not counted. A causal model reads the tokenizer's start of text first; where it has none,
        the first token is not counted either. A text of more than 512 tokens, or of more than the model can read,
        is cut off.
        """
        of = self._causal if self._likelihood == "causal" else self._masked
        with torch.inference_mode():
            tokens = [of(text) for text in texts]
        return np.array([sum(values) for values in tokens]), np.array([len(values) for values in tokens])

    def _causal(self, text: str) -> list[float]:
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        start = [] if self._tokenizer.bos_token_id is None else [self._tokenizer.bos_token_id]
        row = torch.tensor([[*start, *ids][: self._longest]], device=self._device)
        if row.shape[1] < 2:
            return []
        logits = self._model(input_ids=row).logits[0, :-1]
        return _picked(logits, row[0, 1:])

    def _masked(self, text: str) -> list[float]:
        encoded = self._tokenizer(
            text, truncation=True, max_length=self._longest, return_special_tokens_mask=True, return_tensors="pt"
        )
        row = encoded["input_ids"][0].to(self._device)
        places = (encoded["special_tokens_mask"][0] == 0).nonzero().squeeze(1).to(self._device)
        return [value for part in places.split(_BATCH) for value in self._masked_at(row, part)]

    def _masked_at(self, row: Tensor, places: Tensor) -> list[float]:
        """Log-probabilities of the tokens at ``places``, each masked in a copy of the row."""
        copies = row.repeat(len(places), 1)
        each = torch.arange(len(places), device=row.device)
        copies[each, places] = self._tokenizer.mask_token_id
        return _picked(self._model(input_ids=copies).logits[each, places], row[places])


def _picked(logits: Tensor, tokens: Tensor) -> list[float]:
    """Log-probabilities of ``tokens`` ``(n,)`` under ``logits`` ``(n, vocabulary)``."""
    values: list[float] = logits.log_softmax(-1).gather(1, tokens.unsqueeze(1)).squeeze(1).tolist()
    return values
