"""Parts of speech without a download: textblob's tagger, whose lexicon lies in its package."""

from __future__ import annotations

import functools
from typing import Any

from textattack.constraints.grammaticality import PartOfSpeech

# Penn Treebank tags by their beginnings, to the universal tags of Petrov et al., LREC 2012.
_UNIVERSAL = (
    ("NN", "NOUN"),
    ("VB", "VERB"),
    ("MD", "VERB"),
    ("JJ", "ADJ"),
    ("RB", "ADV"),
    ("WRB", "ADV"),
    ("PRP", "PRON"),
    ("WP", "PRON"),
    ("DT", "DET"),
    ("PDT", "DET"),
    ("WDT", "DET"),
    ("EX", "DET"),
    ("IN", "ADP"),
    ("CD", "NUM"),
    ("TO", "PRT"),
    ("RP", "PRT"),
    ("POS", "PRT"),
    ("CC", "CONJ"),
)


class SamePartOfSpeech(PartOfSpeech):
    """TextAttack's part-of-speech constraint (Jin et al., AAAI 2020) with another tagger, and no other difference."""

    def __init__(self, allow_verb_noun_swap: bool) -> None:
        super().__init__(tagger_type="textblob", allow_verb_noun_swap=allow_verb_noun_swap)

    def _get_pos(self, before_ctx: list[str], word: str, after_ctx: list[str]) -> str:
        return universal_tags((*before_ctx, word, *after_ctx))[len(before_ctx)]


@functools.lru_cache(maxsize=2**14)
def universal_tags(words: tuple[str, ...]) -> tuple[str, ...]:
    """The universal part-of-speech tag of each word in its context; ``X`` for what is none of them."""
    from textblob.en import tag

    tagged = tag(" ".join(words), tokenize=False)
    if len(tagged) != len(words):  # a word with a space inside: each by itself
        tagged = [(word, tag(word.replace(" ", "-"), tokenize=False)[0][1] if word.strip() else "X") for word in words]
    return tuple(next((mark for start, mark in _UNIVERSAL if penn.startswith(start)), "X") for _, penn in tagged)


def tag_sentence(text: Any) -> list[str]:
    """The universal tags of an ``AttackedText``'s words."""
    return list(universal_tags(tuple(text.words)))
