"""HotFlip on words (Ebrahimi et al., ACL 2018) for any transformer: flips ranked by the victim's gradients.

TextAttack's own recipe runs on its LSTM only. It also asks for the one best flip in the whole vocabulary before
it looks at the constraints, which that flip hardly ever meets; here, as in section 5 of the paper, only words that
may replace a word are ranked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from textattack import Attack
from textattack.constraints.grammaticality import PartOfSpeech
from textattack.constraints.overlap import MaxWordsPerturbed
from textattack.constraints.pre_transformation import RepeatModification, StopwordModification
from textattack.constraints.semantics import WordEmbeddingDistance
from textattack.goal_functions import UntargetedClassification
from textattack.search_methods import BeamSearch
from textattack.transformations.word_swaps import WordSwap

from kdbench.attacks.recipes.tags import SamePartOfSpeech
from kdbench.attacks.recipes.words import Source, word_swap
from kdbench.errors import AttackError


class WordFlip(WordSwap):
    """The allowed replacements of single words that raise the victim's loss most, by a first-order estimate.

    The estimate of replacing a by b is (v_b - v_a) · g: v embeddings, g the gradient of the loss at a's
    embedding. For words of several tokens v is their mean and g the sum of theirs.
    """

    def __init__(self, wrapper: Any, words: Any, allowed: Sequence[Any], top_n: int) -> None:
        """The transformation.

        Args:
            wrapper: the victim; it must offer gradients and word vectors.
            words: a transformation that lists the replacements of a word.
            allowed: constraints a replacement must meet before it is ranked.
            top_n: most texts that are returned.
        """
        super().__init__()
        self.wrapper, self.words, self.allowed, self.top_n = wrapper, words, allowed, top_n
        self.replacements = type(words).__name__

    def _get_transformations(self, current_text: Any, indices_to_modify: Iterable[int]) -> list[Any]:
        tokens_of = current_text.align_with_model_tokens(self.wrapper)
        gradient = self.wrapper.get_grad(current_text.tokenizer_input)["gradient"]
        flips: list[tuple[float, Any]] = []
        for index in sorted(indices_to_modify):
            texts = self._allowed(current_text, index) if tokens_of[index] else []
            if texts:
                words = [text.words[index] for text in (current_text, *texts)]
                vectors = self.wrapper.model.vectors(words)
                gains = (vectors[1:] - vectors[0]) @ gradient[tokens_of[index]].sum(axis=0)
                flips += zip(gains.tolist(), texts, strict=True)
        return [text for _, text in sorted(flips, key=lambda flip: -flip[0])[: self.top_n]]

    def _allowed(self, current_text: Any, index: int) -> list[Any]:
        """``current_text`` with each replacement that may stand at ``index``."""
        texts: list[Any] = self.words._get_transformations(current_text, [index])
        for text in texts:
            text.attack_attrs["last_transformation"] = self
        for constraint in self.allowed:
            texts = constraint.call_many(texts, current_text)
        return texts

    def extra_repr_keys(self) -> list[str]:
        """What TextAttack shows of the transformation."""
        return ["replacements", "top_n"]


class HotFlip:
    """At most two words, similar and of the same part of speech; beam search of width 10."""

    @staticmethod
    def build(wrapper: Any, words: Source = "vectors", max_candidates: int = 50) -> Attack:
        """The attack.

        Args:
            wrapper: the victim.
            words: where replacements come from. With ``vectors`` they must have a cosine similarity of 0.8, as
                in the paper, and NLTK tags the parts of speech; else textblob does.
            max_candidates: most replacements of a word that are ranked.

        Raises:
            AttackError: the victim offers no word vectors.
        """
        if not hasattr(wrapper.model, "vectors"):
            raise AttackError("HotFlip reads the victim's word embeddings, which this victim does not offer")
        allowed = [SamePartOfSpeech(allow_verb_noun_swap=False)]
        if words == "vectors":
            allowed = [WordEmbeddingDistance(min_cos_sim=0.8), PartOfSpeech(allow_verb_noun_swap=False)]
        constraints = [RepeatModification(), StopwordModification(), MaxWordsPerturbed(max_num_words=2), *allowed]
        flips = WordFlip(wrapper, word_swap(words, max_candidates, wrapper.directories), allowed, top_n=10)
        return Attack(UntargetedClassification(wrapper), constraints, flips, BeamSearch(beam_width=10))
