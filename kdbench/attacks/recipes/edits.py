"""TextBugger and CheckList without what must be downloaded."""

from __future__ import annotations

from typing import Any, Literal

from textattack import Attack
from textattack.constraints.pre_transformation import RepeatModification, StopwordModification
from textattack.goal_functions import UntargetedClassification
from textattack.search_methods import GreedySearch, GreedyWordSwapWIR
from textattack.transformations import (
    CompositeTransformation,
    WordSwapChangeNumber,
    WordSwapContract,
    WordSwapExtend,
    WordSwapHomoglyphSwap,
    WordSwapNeighboringCharacterSwap,
    WordSwapQWERTY,
    WordSwapRandomCharacterDeletion,
    WordSwapRandomCharacterInsertion,
)

from kdbench.attacks.recipes.similarity import similarity
from kdbench.attacks.recipes.words import Source, word_swap


class TextBugger:
    """Li et al., NDSS 2019: five kinds of bugs, the most important words first."""

    @staticmethod
    def build(
        wrapper: Any,
        words: Source,
        substitutes: Literal["look-alikes", "keyboard"],
        threshold: float = 0.8,
    ) -> Attack:
        """The attack.

        Args:
            wrapper: the victim.
            words: where the 5 synonyms of a word come from.
            substitutes: characters that look alike or that are next to each other on a keyboard; the paper
                names both.
            threshold: least cosine similarity of the whole texts.
        """
        inside = {"random_one": True, "skip_first_char": True, "skip_last_char": True}
        looks_alike = substitutes == "look-alikes"
        bugs = [
            WordSwapRandomCharacterInsertion(**inside, letters_to_insert=" "),
            WordSwapRandomCharacterDeletion(**inside),
            WordSwapNeighboringCharacterSwap(**inside),
            WordSwapHomoglyphSwap() if looks_alike else WordSwapQWERTY(**inside),
            word_swap(words, 5, wrapper.directories),
        ]
        constraints = [RepeatModification(), StopwordModification(), similarity(wrapper, threshold=threshold)]
        goal, transformation = UntargetedClassification(wrapper), CompositeTransformation(bugs)
        return Attack(goal, constraints, transformation, GreedyWordSwapWIR("delete"))


class CheckList:
    """Ribeiro et al., ACL 2020, invariance tests: contractions, their opposite, and other numbers."""

    @staticmethod
    def build(wrapper: Any) -> Attack:
        """The attack; it changes neither names nor places, which a tagger would have to find."""
        edits = CompositeTransformation([WordSwapExtend(), WordSwapContract(), WordSwapChangeNumber()])
        return Attack(UntargetedClassification(wrapper), [RepeatModification()], edits, GreedySearch())
