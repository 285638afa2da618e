"""Masked language models: TextAttack's proposals, made once for all victims and without needless padding."""

from __future__ import annotations

import functools
import importlib.metadata
import itertools
import json
import re
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any

import torch
from textattack.shared import utils
from textattack.transformations import WordInsertionMaskedLM, WordMergeMaskedLM, WordSwapMaskedLM
from textattack.transformations.word_merges.word_merge_masked_lm import find_merge_index

from kdbench.attacks.memo import Memo
from kdbench.attacks.recipes.tags import tag_sentence

# The method of each transformation that asks the model: (text, word indices) -> proposals for each index.
_PROPOSES = {
    WordSwapMaskedLM: "_bae_replacement_words",
    WordInsertionMaskedLM: "_get_new_words",
    WordMergeMaskedLM: "_get_merged_words",
}
_LIMITS = ("max_length", "max_candidates", "min_confidence", "pieces", "choices", "combinations")
_LIBRARIES = ("textattack", "transformers")


def share(transformation: Any, memo: Memo, fingerprint: str) -> None:
    """Let the masked language models inside ``transformation`` remember, and pad to the longest text of a batch.

    Their proposals stay what they were: padding is masked, so it changes probabilities by rounding only.

    Args:
        transformation: of a built attack; changed in place.
        memo: keeps the proposals.
        fingerprint: of the models' files.
    """
    for part in _parts(transformation):
        kind = next((kind for kind in _PROPOSES if isinstance(part, kind)), None)
        if kind is None:
            continue
        part._encode_text = functools.partial(_encode, part)
        limits = {name: getattr(part, name, None) for name in _LIMITS}
        window = str(getattr(part, "window_size", None))
        whole = getattr(part, "method", "") == "bert-attack"
        made = f"{type(part).__module__}:{type(part).__qualname__}"
        about = {"what": "masked-lm", "model": fingerprint, "kind": made, "whole": whole, "window": window}
        known = memo.table(about | limits | {name: importlib.metadata.version(name) for name in _LIBRARIES})
        if whole:
            propose = _remembering(functools.partial(_pieces, part), known)
            part._get_transformations = functools.partial(_swapped, propose)
        else:
            setattr(part, _PROPOSES[kind], _remembering(getattr(part, _PROPOSES[kind]), known))


Propose = Callable[[Any, Sequence[int]], list[list[str]]]


def _remembering(propose: Propose, known: MutableMapping[bytes, bytes]) -> Propose:
    """``propose``, asked only for what is not known yet."""

    def remembered(text: Any, indices: Sequence[int]) -> list[list[str]]:
        keys = {index: Memo.key(text.text, str(index)) for index in indices}
        new = [index for index in indices if keys[index] not in known]
        if new:
            for index, words in zip(new, propose(text, new), strict=True):
                known[keys[index]] = json.dumps(words).encode()
        return [json.loads(known[keys[index]]) for index in indices]

    return remembered


def _pieces(part: Any, text: Any, indices: Sequence[int]) -> list[list[str]]:
    """BERT-Attack's proposals for each index, of one look at the whole text."""
    with torch.no_grad():
        logits = part._language_model(**part._encode_text(text.text)).logits[0].cpu()
    best = logits.topk(part.max_candidates).indices
    return [part._bert_attack_replacement_words(text, index, best, logits) for index in indices]


def _swapped(propose: Propose, text: Any, indices_to_modify: Sequence[int]) -> list[Any]:
    """The texts that BERT-Attack's proposals make."""
    indices = list(indices_to_modify)
    return [
        text.replace_word_at_index(index, word)
        for index, words in zip(indices, propose(text, indices), strict=True)
        for word in (proposal.strip("Ġ") for proposal in words)
        if word != text.words[index]
    ]


def _encode(part: Any, text: str | list[str]) -> Any:
    encoding = part._lm_tokenizer(text, max_length=part.max_length, truncation=True, padding=True, return_tensors="pt")
    return encoding.to(utils.device)


def _parts(transformation: Any) -> Iterator[Any]:
    """A transformation, or those it is composed of."""
    for part in getattr(transformation, "transformations", [transformation]):
        if part is transformation:
            yield part
        else:
            yield from _parts(part)


class WordSwapPieces(WordSwapMaskedLM):
    """BERT-Attack's replacements with the bounds of its authors' published code (Li et al., EMNLP 2020).

    A word of one piece is replaced by the best ``max_candidates`` pieces. One of several pieces by combinations
    of the 4 best for each of its first 12 pieces, of which the first 24 are ranked by their perplexity under the
    model. TextAttack tries all ``max_candidates ** pieces`` combinations and does not rank them.
    """

    pieces, choices, combinations = 12, 4, 24

    def _bert_attack_replacement_words(
        self, current_text: Any, index: int, id_preds: torch.Tensor, masked_lm_logits: torch.Tensor
    ) -> list[str]:
        pieces = self._lm_tokenizer.encode(current_text.words[index], add_special_tokens=False)
        if len(pieces) < 2:
            found: list[str] = super()._bert_attack_replacement_words(current_text, index, id_preds, masked_lm_logits)
            return found
        masked = current_text.replace_word_at_index(index, self._lm_tokenizer.mask_token)
        ids = self._encode_text(masked.text)["input_ids"][0].tolist()
        if self._lm_tokenizer.mask_token_id not in ids:
            return []  # beyond what the model reads
        start = ids.index(self._lm_tokenizer.mask_token_id)
        best = id_preds[start : start + min(len(pieces), self.pieces), : self.choices].tolist()
        products = list(itertools.islice(itertools.product(*best), self.combinations))
        inputs = torch.tensor(products, device=utils.device)
        with torch.no_grad():
            logits = self._language_model(input_ids=inputs).logits
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), inputs, reduction="none").mean(dim=1)
        ranked = [products[row] for row in losses.argsort(stable=True).tolist()]
        words = [self._lm_tokenizer.convert_tokens_to_string(self._tokens(ids)).strip() for ids in ranked]
        return [word for word in dict.fromkeys(words) if utils.is_one_word(word) and "##" not in word]

    def _tokens(self, ids: Sequence[int]) -> list[str]:
        tokens: list[str] = self._lm_tokenizer.convert_ids_to_tokens(list(ids))
        return tokens


class WordMerge(WordMergeMaskedLM):
    """CLARE's merges with the parts of speech of another tagger."""

    def _get_transformations(self, current_text: Any, indices_to_modify: Sequence[int]) -> list[Any]:
        indices = find_merge_index(tag_sentence(current_text))
        return [
            current_text.delete_word_at_index(index + 1).replace_word_at_index(index, word)
            for index, words in zip(indices, self._get_merged_words(current_text, indices), strict=True)
            for word in (proposal.strip("Ġ") for proposal in words)
            if word != current_text.words[index] and re.search("[a-zA-Z]", word)
        ]
