"""BAE, BERT-Attack and CLARE with another tagger and another encoder; their masked language models stay."""

from __future__ import annotations

from typing import Any

from textattack import Attack
from textattack.constraints.overlap import MaxWordsPerturbed
from textattack.constraints.pre_transformation import RepeatModification, StopwordModification
from textattack.goal_functions import UntargetedClassification
from textattack.search_methods import GreedySearch, GreedyWordSwapWIR
from textattack.transformations import CompositeTransformation, WordInsertionMaskedLM, WordSwapMaskedLM
from transformers import AutoModelForMaskedLM, AutoTokenizer

from kdbench.attacks.recipes.masked_lm import WordMerge, WordSwapPieces
from kdbench.attacks.recipes.similarity import similarity
from kdbench.attacks.recipes.tags import SamePartOfSpeech


class BAE:
    """Garg and Ramakrishnan, EMNLP 2020, BAE-R: words replaced by what BERT proposes for the gap."""

    @staticmethod
    def build(wrapper: Any, threshold: float = 0.936338023) -> Attack:
        """The attack.

        Args:
            wrapper: the victim.
            threshold: least cosine similarity of the 15 words around a change, 1 - 0.2 / pi as in the
                authors' code.
        """
        swap = WordSwapMaskedLM(method="bae", max_candidates=50, min_confidence=0.0)
        near = similarity(wrapper, threshold=threshold, window_size=15, skip_text_shorter_than_window=True)
        constraints = [RepeatModification(), StopwordModification(), SamePartOfSpeech(allow_verb_noun_swap=True), near]
        return Attack(UntargetedClassification(wrapper), constraints, swap, GreedyWordSwapWIR("delete"))


class BERTAttack:
    """Li et al., EMNLP 2020: pieces of words replaced by what BERT proposes, without masking them."""

    @staticmethod
    def build(wrapper: Any, threshold: float = 0.2) -> Attack:
        """The attack: the paper's 48 candidates, and at most 40 % of the words.

        Args:
            wrapper: the victim.
            threshold: least cosine similarity of the whole texts.
        """
        swap = WordSwapPieces(method="bert-attack", max_candidates=48)
        near = similarity(wrapper, threshold=threshold)
        constraints = [RepeatModification(), StopwordModification(), MaxWordsPerturbed(max_percent=0.4), near]
        return Attack(UntargetedClassification(wrapper), constraints, swap, GreedyWordSwapWIR("unk"))


class Clare:
    """Li et al., NAACL 2021: replacements, insertions and merges, whichever hurts most."""

    @staticmethod
    def build(wrapper: Any, threshold: float = 0.7) -> Attack:
        """The attack.

        Args:
            wrapper: the victim.
            threshold: least cosine similarity of the 15 words around a change.
        """
        name = "distilroberta-base"
        parts = {
            "masked_language_model": AutoModelForMaskedLM.from_pretrained(name),
            "tokenizer": AutoTokenizer.from_pretrained(name),
            "max_candidates": 50,
        }
        steps = [
            WordSwapMaskedLM(method="bae", min_confidence=5e-4, **parts),
            WordInsertionMaskedLM(min_confidence=0.0, **parts),
            WordMerge(min_confidence=5e-3, **parts),
        ]
        near = similarity(wrapper, threshold=threshold, window_size=15, skip_text_shorter_than_window=True)
        constraints = [RepeatModification(), StopwordModification(), near]
        return Attack(UntargetedClassification(wrapper), constraints, CompositeTransformation(steps), GreedySearch())
