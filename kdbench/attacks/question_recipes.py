"""kdbench's own attacks on questions, in TextAttack's parts. Imports TextAttack: built by ``_library.build``.

The parts are published ones. Edits of characters and their limit: Gao et al., IEEE SPW 2018 (DeepWordBug).
Substitution by WordNet's synonyms: Ren et al., ACL 2019 (PWWS), without their word saliency. Order of the
words: how much the goal gains when a word is masked, the replace-1 score of Gao et al. New are the goal and what
may not be touched, so that the references still answer the perturbed question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from nltk.corpus import stopwords
from textattack import Attack
from textattack.constraints import PreTransformationConstraint
from textattack.constraints.overlap import LevenshteinEditDistance
from textattack.constraints.pre_transformation import RepeatModification, StopwordModification
from textattack.search_methods import GreedyWordSwapWIR
from textattack.transformations import (
    CompositeTransformation,
    WordSwapNeighboringCharacterSwap,
    WordSwapRandomCharacterDeletion,
    WordSwapRandomCharacterInsertion,
    WordSwapRandomCharacterSubstitution,
    WordSwapWordNet,
)

from kdbench.answers.metrics import normalize_answer
from kdbench.attacks._question_wrapper import QuestionWrapper, WrongAnswer
from kdbench.errors import AttackError

QUESTION_WORDS = frozenset({"who", "whom", "whose", "what", "which", "when", "where", "why", "how"})
_EDITS = {
    "characters": (
        WordSwapNeighboringCharacterSwap,
        WordSwapRandomCharacterSubstitution,
        WordSwapRandomCharacterDeletion,
        WordSwapRandomCharacterInsertion,
    ),
    "synonyms": (WordSwapWordNet,),
}


class QuestionEdits:
    """Greedy edits of a question, the most important word first, until the answer is wrong."""

    @staticmethod
    def build(wrapper: QuestionWrapper, edits: Sequence[str], max_edit_distance: int | None = None) -> Attack:
        """The attack.

        Args:
            wrapper: the victim.
            edits: ``characters`` (swap, substitute, delete or insert one, at random), ``synonyms`` or both:
                for each word the best of all is taken.
            max_edit_distance: most edited characters per question (Levenshtein distance), or no limit.

        Raises:
            AttackError: there are no such edits.
        """
        if not edits or not set(edits) <= _EDITS.keys():
            raise AttackError(f"edits {edits}: must be a list of {' and '.join(_EDITS)}, or of one of them")
        constraints = [
            RepeatModification(),
            # Lower-case in NLTK, while the first word of a question is capitalised.
            StopwordModification([form for word in stopwords.words("english") for form in (word, word.capitalize())]),
            QuestionWordsUntouched(),
            AnswerWordsUntouched(wrapper),
        ]
        if max_edit_distance is not None:
            constraints.append(LevenshteinEditDistance(max_edit_distance))
        transformation = CompositeTransformation([swap() for name in edits for swap in _EDITS[name]])
        return Attack(WrongAnswer(wrapper), constraints, transformation, GreedyWordSwapWIR("unk"))


class QuestionWordsUntouched(PreTransformationConstraint):
    """Question words and numbers stay: another one of them asks for something else."""

    def _get_modifiable_indices(self, current_text: Any) -> set[int]:
        return {
            index
            for index, word in enumerate(current_text.words)
            if QUESTION_WORDS.isdisjoint(words_of(word)) and not any(map(str.isdigit, word))
        }


class AnswerWordsUntouched(PreTransformationConstraint):
    """Words that occur in a reference answer stay: what is asked about must still be recognised."""

    def __init__(self, wrapper: QuestionWrapper) -> None:
        self.wrapper = wrapper

    def _get_modifiable_indices(self, current_text: Any) -> set[int]:
        answered = frozenset().union(*map(words_of, self.wrapper.references))
        return {index for index, word in enumerate(current_text.words) if answered.isdisjoint(words_of(word))}


def words_of(text: str) -> frozenset[str]:
    """The words of ``text`` after the official answer normalisation, each also cut at its punctuation.

    So ``Tesla's`` in a question is found in the answer ``Tesla``, and ``who's`` is a question word. Single
    letters that a cut leaves are no words of their own: else one ``'s`` in an answer would protect all.
    """
    pieces = normalize_answer(re.sub(r"[\W_]", " ", text)).split()
    return frozenset(normalize_answer(text).split()) | {piece for piece in pieces if len(piece) > 1}
