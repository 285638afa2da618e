"""Where replacements for a word come from: counter-fitted vectors, published neighbour lists, or WordNet."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from textattack.transformations import WordSwapEmbedding, WordSwapWordNet
from textattack.transformations.word_swaps import WordSwap
from textattack.transformations.word_swaps.word_swap_embedding import recover_word_case

from kdbench.attacks import assets
from kdbench.errors import AttackError

Source = Literal["vectors", "neighbours", "wordnet"]


def word_swap(source: Source, max_candidates: int, directories: Sequence[Path]) -> Any:
    """The transformation that replaces one word.

    Args:
        source: ``vectors``, nearest counter-fitted neighbours (Mrkšić et al., NAACL 2016); ``neighbours``, the
            published lists of the at most 8 nearest within distance 0.5 (Jia et al., EMNLP 2019); ``wordnet``,
            all words that share a synset, in alphabetical order.
        max_candidates: most replacements for a word.
        directories: asset folders.

    Raises:
        AttackError: there is no such source.
    """
    if source == "vectors":
        return WordSwapEmbedding(max_candidates=max_candidates)
    if source == "neighbours":
        return WordSwapNeighbours(max_candidates, directories)
    if source == "wordnet":
        return WordSwapSynonyms(max_candidates)
    raise AttackError(f"words '{source}': must be vectors, neighbours or wordnet")


class WordSwapNeighbours(WordSwap):
    """Replaces a word by its published counter-fitted neighbours, nearest first, in the word's own case."""

    def __init__(self, max_candidates: int, directories: Sequence[Path]) -> None:
        super().__init__()
        self.max_candidates = max_candidates
        self._neighbours = _read_neighbours(assets.find_neighbours(directories))

    def _get_replacement_words(self, word: str) -> list[str]:
        found = self._neighbours.get(word.lower(), ())[: self.max_candidates]
        return [recover_word_case(neighbour, word) for neighbour in found]

    def extra_repr_keys(self) -> list[str]:
        """What TextAttack shows of the transformation."""
        return ["max_candidates"]


class WordSwapSynonyms(WordSwapWordNet):
    """TextAttack's WordNet synonyms in an order that is the same in every process, and in the word's own case."""

    def __init__(self, max_candidates: int) -> None:
        super().__init__()
        self.max_candidates = max_candidates

    def _get_replacement_words(self, word: str, random: bool = False) -> list[str]:
        found = sorted(super()._get_replacement_words(word))
        return list(dict.fromkeys(recover_word_case(synonym, word) for synonym in found))[: self.max_candidates]

    def extra_repr_keys(self) -> list[str]:
        """What TextAttack shows of the transformation."""
        return ["max_candidates"]


@functools.lru_cache(maxsize=1)
def _read_neighbours(path: Path | None) -> dict[str, tuple[str, ...]]:
    if path is None:
        raise AttackError(
            "the counter-fitted neighbours are missing: put counterfitted_neighbors.parquet into an asset folder"
        )
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["word", "neighbors"])
    words, neighbours = (table[name].to_pylist() for name in table.column_names)
    return {word: tuple(near) for word, near in zip(words, neighbours, strict=True) if near}
