"""Replacement by synonyms: TextFooler, A2T, the genetic attack and PSO with other words, tagger and encoder."""

from __future__ import annotations

from typing import Any

from textattack import Attack
from textattack.constraints.overlap import MaxWordsPerturbed
from textattack.constraints.pre_transformation import (
    MaxModificationRate,
    RepeatModification,
    StopwordModification,
)
from textattack.constraints.semantics import WordEmbeddingDistance
from textattack.goal_functions import UntargetedClassification
from textattack.search_methods import AlzantotGeneticAlgorithm, GreedyWordSwapWIR, ParticleSwarmOptimization

from kdbench.attacks.recipes.similarity import similarity
from kdbench.attacks.recipes.tags import SamePartOfSpeech
from kdbench.attacks.recipes.words import Source, word_swap


class TextFooler:
    """Jin et al., AAAI 2020: the most important words first, by the synonym that hurts most."""

    @staticmethod
    def build(wrapper: Any, words: Source, threshold: float = 0.840845057) -> Attack:
        """The attack.

        Args:
            wrapper: the victim.
            words: where synonyms come from; those of ``vectors`` must have a cosine similarity of 0.5.
            threshold: least angular similarity of the 15 words around a change. The default is the paper's
                1 - 0.5 / pi: its code forgets to divide by pi.
        """
        constraints = [RepeatModification(), StopwordModification()]
        if words == "vectors":
            constraints.append(WordEmbeddingDistance(min_cos_sim=0.5))
        constraints.append(SamePartOfSpeech(allow_verb_noun_swap=True))
        constraints.append(
            similarity(
                wrapper,
                threshold=threshold,
                metric="angular",
                compare_against_original=False,
                window_size=15,
                skip_text_shorter_than_window=True,
            )
        )
        swap = word_swap(words, 50, wrapper.directories)
        return Attack(UntargetedClassification(wrapper), constraints, swap, GreedyWordSwapWIR("delete"))


class A2T:
    """Yoo and Qi, EMNLP Findings 2021: words ordered by the victim's gradients, a tenth of them at most."""

    @staticmethod
    def build(wrapper: Any, words: Source, threshold: float = 0.9) -> Attack:
        """The attack.

        Args:
            wrapper: the victim; it must offer gradients.
            words: where synonyms come from; those of ``vectors`` must have a cosine similarity of 0.8.
            threshold: least cosine similarity of the whole texts.
        """
        constraints = [
            RepeatModification(),
            StopwordModification(),
            SamePartOfSpeech(allow_verb_noun_swap=False),
            MaxModificationRate(max_rate=0.1, min_threshold=4),
        ]
        if words == "vectors":
            constraints.append(WordEmbeddingDistance(min_cos_sim=0.8))
        constraints.append(similarity(wrapper, threshold=threshold))
        swap = word_swap(words, 20, wrapper.directories)
        search = GreedyWordSwapWIR("gradient", truncate_words_to=wrapper.max_length)
        return Attack(UntargetedClassification(wrapper), constraints, swap, search)


class Genetic:
    """Alzantot et al., EMNLP 2018, without the language model."""

    @staticmethod
    def build(wrapper: Any, words: Source) -> Attack:
        """The attack: a population of 60 for 20 generations, at most 8 synonyms a word, a fifth of the words.

        Args:
            wrapper: the victim.
            words: where synonyms come from.
        """
        constraints = [RepeatModification(), StopwordModification(), MaxWordsPerturbed(max_percent=0.2)]
        search = AlzantotGeneticAlgorithm(pop_size=60, max_iters=20, post_crossover_check=False)
        swap = word_swap(words, 8, wrapper.directories)
        return Attack(UntargetedClassification(wrapper), constraints, swap, search)


class ParticleSwarm:
    """Zang et al., ACL 2020, with other words than HowNet's."""

    @staticmethod
    def build(wrapper: Any, words: Source, max_candidates: int) -> Attack:
        """The attack: a swarm of 60 for 20 iterations.

        Args:
            wrapper: the victim.
            words: where synonyms come from.
            max_candidates: most synonyms of a word.
        """
        constraints = [RepeatModification(), StopwordModification()]
        swap = word_swap(words, max_candidates, wrapper.directories)
        search = ParticleSwarmOptimization(pop_size=60, max_iters=20)
        return Attack(UntargetedClassification(wrapper), constraints, swap, search)
