"""Long contexts cut into overlapping windows, each beside its question, as flat arrays.

The result equals that of transformers' fast tokenizers for ``truncation="only_second"`` with ``stride`` and
``return_overflowing_tokens``, but every distinct text is tokenised once, not once for each question asked about it,
and no token passes through a Python loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from transformers import PreTrainedTokenizerBase

from kdbench.errors import ModelError
from kdbench.inputs.text import ranges, starts_of


@dataclass(frozen=True)
class Tokens:
    """Tokens of texts without special ones; those of text ``i`` are ``starts[i]:starts[i + 1]``.

    Attributes:
        ids: ``(total,)`` int64.
        starts: ``(n + 1,)`` int64.
        offsets: ``(total, 2)`` int32 characters where each token starts and ends, or nothing.
    """

    ids: np.ndarray
    starts: np.ndarray
    offsets: np.ndarray | None = None

    @property
    def lengths(self) -> np.ndarray:
        """``(n,)`` tokens in each text."""
        return np.diff(self.starts)

    def heads(self, limit: int) -> Tokens:
        """At most the first ``limit`` tokens of each text."""
        lengths = np.minimum(self.lengths, limit)
        kept = ranges(self.starts[:-1], lengths)
        return Tokens(self.ids[kept], starts_of(lengths), None if self.offsets is None else self.offsets[kept])


@dataclass(frozen=True)
class PairTemplate:
    """What a tokenizer puts around the two texts of a pair.

    Attributes:
        special: three arrays of ids, those before, between and after the texts.
        special_types: their segment ids, of the same shapes.
        text_types: segment ids of the first and the second text.
    """

    special: tuple[np.ndarray, ...]
    special_types: tuple[np.ndarray, ...]
    text_types: tuple[int, int]

    @property
    def size(self) -> int:
        """Special tokens in a window."""
        return sum(map(len, self.special))


@dataclass(frozen=True)
class Cuts:
    """Which context tokens stand in which window; ``(windows,)`` int64 each.

    Attributes:
        examples: the question and context of each window, as a number of their pair; windows of a pair are neighbours.
        first: the first context token in it.
        stop: the first context token after it.
    """

    examples: np.ndarray
    first: np.ndarray
    stop: np.ndarray


@dataclass(frozen=True)
class Assembled:
    """Windows one after another; window ``w`` is ``starts[w]:starts[w + 1]``.

    Attributes:
        tokens: ``(total,)`` int64.
        types: ``(total,)`` int64 segment ids.
        starts: ``(windows + 1,)`` int64.
        context: ``(windows, 2)`` int64 positions in the window of the first context token and of the first after it.
        offsets: ``(total, 2)`` int32 characters of the context that a token covers; (0, 0) for others.
    """

    tokens: np.ndarray
    types: np.ndarray
    starts: np.ndarray
    context: np.ndarray
    offsets: np.ndarray


def distinct(texts: list[str]) -> tuple[list[str], np.ndarray]:
    """The different texts in the order of their first use, and ``(n,)`` which of them each text is."""
    numbers: dict[str, int] = {}
    places = np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int64)
    return list(numbers), places


def tokenise(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, offsets: bool = False) -> Tokens:
    """All texts in one call, without special tokens and uncut."""
    batch = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        return_offsets_mapping=offsets,
        verbose=False,  # its warning of texts that are too long: they are about to be cut
    )
    starts = starts_of(np.array([len(ids) for ids in batch["input_ids"]]))
    ids = np.fromiter(chain.from_iterable(batch["input_ids"]), dtype=np.int64, count=starts[-1])
    if not offsets:
        return Tokens(ids, starts)
    pairs = chain.from_iterable(batch["offset_mapping"])
    flat = np.fromiter(chain.from_iterable(pairs), dtype=np.int32, count=2 * starts[-1])
    return Tokens(ids, starts, flat.reshape(-1, 2))


def pair_template(tokenizer: PreTrainedTokenizerBase) -> PairTemplate:
    """Learn from one pair what stands around and between its texts.

    Raises:
        ModelError: pairs do not start with one special token, which stands for "no answer", and the first text.
    """
    encoding = tokenizer(["a"], ["a"]).encodings[0]
    owners = encoding.sequence_ids
    first, second = (np.flatnonzero([owner == text for owner in owners]) for text in (0, 1))
    if not (len(first) and len(second) and first[0] == 1 and second[0] > first[-1]):
        raise ModelError(
            f"{type(tokenizer).__name__}: its pairs do not start with one special token and the question, but the "
            "first token stands for 'no answer': choose a model of another family, such as BERT or RoBERTa"
        )
    places = slice(0, first[0]), slice(first[-1] + 1, second[0]), slice(second[-1] + 1, None)
    ids, types = (np.array(values, dtype=np.int64) for values in (encoding.ids, encoding.type_ids))
    return PairTemplate(
        special=tuple(ids[place] for place in places),
        special_types=tuple(types[place] for place in places),
        text_types=(int(types[first[0]]), int(types[second[0]])),
    )


def cut(lengths: np.ndarray, rooms: np.ndarray, stride: int) -> Cuts:
    """Windows of contexts: the first at the start, each next one ``room - stride`` tokens on, until the end is reached.

    Args:
        lengths: ``(n,)`` tokens of each context; an empty one has one window, too.
        rooms: ``(n,)`` context tokens that fit beside each question, more than ``stride``.
        stride: tokens that consecutive windows share.
    """
    steps = rooms - stride
    counts = 1 + np.maximum(0, -(-(lengths - rooms) // steps))
    examples = np.repeat(np.arange(len(lengths)), counts)
    first = ranges(np.zeros_like(counts), counts) * steps[examples]
    return Cuts(examples, first, np.minimum(first + rooms[examples], lengths[examples]))


def assemble(
    template: PairTemplate, questions: Tokens, contexts: Tokens, asked: np.ndarray, about: np.ndarray, cuts: Cuts
) -> Assembled:
    """Put windows together: every part is a range of one array that holds all there is.

    Args:
        asked: ``(pairs,)`` which of ``questions`` a pair is of.
        about: ``(pairs,)`` which of ``contexts`` a pair is of.
        cuts: into windows, of these pairs.
    """
    assert contexts.offsets is not None
    # the parts of a window in their order, and all there is of each
    before, between, after = template.special
    pool = (before, questions.ids, between, contexts.ids, after)
    sizes = np.array([len(part) for part in pool])
    begins = np.cumsum(sizes) - sizes
    question = asked[cuts.examples]
    # (windows, 5): where in the pool each part of each window starts, and how many tokens it has
    starts = np.tile(begins, (len(question), 1))
    lengths = np.tile(sizes, (len(question), 1))
    starts[:, 1] += questions.starts[question]
    lengths[:, 1] = questions.lengths[question]
    starts[:, 3] += contexts.starts[about[cuts.examples]] + cuts.first
    lengths[:, 3] = cuts.stop - cuts.first
    chosen = ranges(starts.ravel(), lengths.ravel())

    before, between, after = template.special_types
    first, second = template.text_types
    types = (before, np.full(sizes[1], first), between, np.full(sizes[3], second), after)
    offsets = np.zeros((sizes.sum(), 2), dtype=np.int32)
    offsets[begins[3] : begins[4]] = contexts.offsets
    ends = np.cumsum(lengths, axis=1)
    return Assembled(
        tokens=np.concatenate(pool)[chosen],
        types=np.concatenate(types)[chosen],
        starts=starts_of(ends[:, -1]),
        context=ends[:, 2:4].copy(),
        offsets=offsets[chosen],
    )
