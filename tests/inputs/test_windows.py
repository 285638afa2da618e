"""Windows: the same, token by token, as transformers cuts, whatever the lengths and the tokenizer."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast, RobertaTokenizerFast

from kdbench.errors import DataError, ModelError
from kdbench.inputs.spans import SpanReader
from kdbench.inputs.windows import cut, distinct, pair_template, tokenise
from kdbench.models.tiny import tiny_tokenizer
from kdbench.tasks.dataset import SpanExamples
from kdbench.tasks.spec import SpanFormat

BERT = tiny_tokenizer()


def _roberta() -> PreTrainedTokenizerBase:
    """Byte-level BPE with two separators between the texts and no segment ids, learnt from a few words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(["the movie was great and that film is not a bad one"] * 3, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return RobertaTokenizerFast(tokenizer_object=tokenizer, model_max_length=512)


ROBERTA = _roberta()
TOKENIZERS = pytest.mark.parametrize("tokenizer", [BERT, ROBERTA], ids=["BERT", "RoBERTa"])


def _examples(questions: list[str], contexts: list[str]) -> SpanExamples:
    count = len(questions)
    nothing: list[Any] = [()] * count
    labels = np.zeros(count, dtype=np.int64)
    return SpanExamples([str(i) for i in range(count)], labels, None, questions, contexts, nothing, nothing)


def _check(tokenizer: Any, questions: list[str], contexts: list[str], max_length: int, stride: int) -> int:
    """Assert that ids, segment ids, offsets and owners equal those of transformers; how many windows there were."""
    reader = SpanReader(tokenizer, max_length, SpanFormat(stride=stride, max_question=1000))
    data = reader.encode(_examples(questions, contexts))
    theirs = tokenizer(
        questions,
        contexts,
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert data.examples.tolist() == theirs["overflow_to_sample_mapping"] and len(data) == len(theirs["input_ids"])
    assert data.questions == len(questions)
    assert (data.types is None) == ("token_type_ids" not in theirs)
    for window, ids in enumerate(theirs["input_ids"]):
        own = slice(data.starts[window], data.starts[window + 1])
        assert data.tokens[own].tolist() == ids
        if data.types is not None:
            assert data.types[own].tolist() == theirs["token_type_ids"][window]
        owners = theirs.sequence_ids(window)
        spans = zip(theirs["offset_mapping"][window], owners, strict=True)
        assert data.offsets[own].tolist() == [list(span) if owner == 1 else [0, 0] for span, owner in spans]
        first, stop = data.context[window]
        assert [owner == 1 for owner in owners] == [first <= place < stop for place in range(len(ids))]
    return len(data)


TEXT = st.text(st.sampled_from("abé 漢\u0301😀  .\nмir"), max_size=60)


@TOKENIZERS
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_windows_equal_those_of_transformers(tokenizer: Any, data: st.DataObject) -> None:
    """Any texts, also empty, repeated, accented and of several bytes a character; any overlap that fits."""
    contexts = data.draw(st.lists(TEXT, min_size=1, max_size=3))
    asked = data.draw(st.lists(st.tuples(TEXT, st.sampled_from(contexts)), min_size=1, max_size=5))
    longest = max(len(tokenizer([question], [""])["input_ids"][0]) for question, _ in asked)
    stride = data.draw(st.integers(0, 12))
    max_length = longest + stride + data.draw(st.integers(1, 8))
    _check(tokenizer, [question for question, _ in asked], [context for _, context in asked], max_length, stride)


@TOKENIZERS
@pytest.mark.parametrize(("max_length", "stride"), [(96, 16), (128, 0), (128, 40)])
def test_windows_of_real_contexts(mirror: Path, tokenizer: Any, max_length: int, stride: int) -> None:
    """SQuAD, its contexts asked about several times and cut several times."""
    table = pd.read_parquet(mirror / "rajpurkar/squad/plain_text/validation.parquet")
    short = table[table.question.str.len() < 45].iloc[:60]
    count = _check(tokenizer, short.question.tolist(), short.context.tolist(), max_length, stride)
    assert count > 3 * len(short) and short.context.nunique() < len(short)


def _slowly(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Step by step until a window reaches the end."""
    found, first = [(0, min(room, length))], 0
    while found[-1][1] < length:
        first += room - stride
        found.append((first, min(first + room, length)))
    return found


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=6), st.integers(0, 9))
def test_cutting_equals_a_walk(pairs: list[tuple[int, int]], stride: int) -> None:
    """Over several contexts at once, each with its own room."""
    lengths, rooms = np.array(pairs).T
    rooms = rooms + stride
    cuts = cut(lengths, rooms, stride)
    walks = [_slowly(length, room, stride) for length, room in zip(lengths, rooms, strict=True)]
    assert cuts.examples.tolist() == [row for row, walk in enumerate(walks) for _ in walk]
    assert list(zip(cuts.first.tolist(), cuts.stop.tolist(), strict=True)) == [step for walk in walks for step in walk]


def test_windows_that_would_not_advance_are_refused() -> None:
    """At the last room that is too small; one token more is enough."""
    examples = _examples(["good", "good"], ["a good movie", "the film is bad"])
    assert len(SpanReader(BERT, 9, SpanFormat(stride=4, max_question=30)).encode(examples)) == 2
    with pytest.raises(DataError, match="room for 4 tokens of its context, and windows that overlap by 4 need more"):
        SpanReader(BERT, 8, SpanFormat(stride=4, max_question=30)).encode(examples)


def test_a_model_that_reads_too_little_is_told_apart() -> None:
    """A larger max_length would not help."""
    short = deepcopy(BERT)
    short.model_max_length = 8
    with pytest.raises(DataError, match="this model reads 8 tokens at most, take another, or lower 'stride'"):
        SpanReader(short, 384, SpanFormat(stride=4)).encode(_examples(["good"], ["a good movie"]))


def test_a_question_that_fills_the_input_is_refused_by_name_of_the_settings() -> None:
    """Not by an error from inside a tokenizer."""
    reader = SpanReader(BERT, 8, SpanFormat(stride=0, max_question=30))
    with pytest.raises(DataError, match=r"room for 0 .*raise the task's 'max_length' .8., or lower 'stride'"):
        reader.encode(_examples(["what is a good movie and a bad one"], ["it"]))


@TOKENIZERS
def test_the_template_is_what_stands_around_the_texts(tokenizer: Any) -> None:
    """One special token first; two between the texts of RoBERTa's pairs."""
    template = pair_template(tokenizer)
    start, middle, end = (part.tolist() for part in template.special)
    separator = tokenizer.sep_token_id
    assert start == [tokenizer.cls_token_id] and end == [separator]
    assert middle == ([separator] if tokenizer is BERT else [separator, separator])
    assert template.size == (3 if tokenizer is BERT else 4)
    assert template.text_types == ((0, 1) if tokenizer is BERT else (0, 0))
    assert [part.tolist() for part in template.special_types] == [[0], [0] * len(middle), [template.text_types[1]]]


@pytest.mark.parametrize(
    "pair",
    ["$A [SEP] $B:1 [SEP] [CLS]", "[CLS] [CLS] $A [SEP] $B:1", "[CLS] $B:1 [SEP] $A", "$B:1 $A [SEP]", "$A $B:1"],
    ids=["at the end", "two", "context first", "context at once", "none"],
)
def test_a_tokenizer_without_a_token_for_no_answer_is_named(pair: str) -> None:
    """Other families put their special tokens elsewhere."""
    backend = Tokenizer.from_str(BERT.backend_tokenizer.to_str())
    special = [(token, BERT.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(single="$A", pair=pair, special_tokens=special)
    with pytest.raises(ModelError, match="PreTrainedTokenizerFast: its pairs do not start with one special token"):
        pair_template(PreTrainedTokenizerFast(tokenizer_object=backend))


def test_texts_are_tokenised_once_each() -> None:
    """In the order of their first use, without special tokens, cut only when asked."""
    texts, places = distinct(["the film", "a", "the film", "", "a"])
    assert texts == ["the film", "a", ""] and places.tolist() == [0, 1, 0, 2, 1]
    tokens = tokenise(BERT, texts, offsets=True)
    words = BERT.convert_tokens_to_ids(["the", "film", "a"])
    assert tokens.ids.tolist() == words and tokens.starts.tolist() == [0, 2, 3, 3]
    assert tokens.offsets is not None and tokens.offsets.tolist() == [[0, 3], [4, 8], [0, 1]]
    heads = tokens.heads(1)
    assert heads.ids.tolist() == [words[0], words[2]] and heads.starts.tolist() == [0, 1, 2, 2]
    assert heads.offsets is not None and heads.offsets.tolist() == [[0, 3], [0, 1]]
