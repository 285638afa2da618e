"""Questions and contexts: labels of windows, masks, logits kept flat, and splits kept on disk."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertTokenizer

from kdbench.artifacts import ArtifactCache
from kdbench.errors import DataError, ModelError
from kdbench.inputs.base import CLOSED
from kdbench.inputs.spans import EncodedSpans, SpanReader
from kdbench.models.tiny import tiny_tokenizer
from kdbench.tasks.dataset import SpanExamples
from kdbench.tasks.spec import SpanFormat

TOKENIZER = tiny_tokenizer()  # knows "the", "a", "of", "good", "film", ... and single characters
FORM = SpanFormat(stride=2, max_question=4)
MAX_LENGTH = 11  # with a question of three tokens, five tokens of the context fit in


def _examples(*rows: tuple[str, str, list[tuple[str, int]]]) -> SpanExamples:
    """Rows of a question, its context, and its answers with their places."""
    return SpanExamples(
        ids=[f"q{row}" for row in range(len(rows))],
        labels=np.array([bool(answers) for *_, answers in rows], dtype=np.int64),
        groups=None,
        texts=[question for question, *_ in rows],
        pairs=[context for _, context, _ in rows],
        answers=[tuple(text for text, _ in answers) for *_, answers in rows],
        answer_starts=[tuple(start for _, start in answers) for *_, answers in rows],
    )


def _encode(*rows: tuple[str, str, list[tuple[str, int]]], max_length: int = MAX_LENGTH) -> EncodedSpans:
    return SpanReader(TOKENIZER, max_length, FORM).encode(_examples(*rows))


def _words(data: EncodedSpans, window: int) -> list[str]:
    tokens: list[str] = TOKENIZER.convert_ids_to_tokens(data.tokens[data.starts[window] : data.starts[window + 1]])
    return tokens


def _answer(data: EncodedSpans, window: int, context: str) -> str:
    """The text between the first and the last labelled token."""
    first, last = data.labels[window] + data.starts[window]
    return context[data.offsets[first, 0] : data.offsets[last, 1]]


# --- labels ---------------------------------------------------------------------------------------

CONTEXT = "the film was not bad and it is a great movie"


def test_an_answer_is_labelled_in_the_windows_that_hold_it_whole() -> None:
    """Five context tokens a window, three new ones in each; "bad and" stands across the edge of the first."""
    data = _encode(("is it good", CONTEXT, [("bad and", 17)]))
    question = ["[CLS]", "is", "it", "good", "[SEP]"]
    assert [_words(data, window) for window in range(3)] == [
        [*question, "the", "film", "was", "not", "bad", "[SEP]"],
        [*question, "not", "bad", "and", "it", "is", "[SEP]"],
        [*question, "it", "is", "a", "great", "movie", "[SEP]"],
    ]
    assert data.labels.tolist() == [[0, 0], [6, 7], [0, 0]] and data.labels.dtype == np.int64
    assert data.context.tolist() == [[5, 10]] * 3 and data.examples.tolist() == [0, 0, 0]
    assert _answer(data, 1, CONTEXT) == "bad and"


def test_an_answer_in_the_overlap_is_labelled_in_both_windows() -> None:
    """Also at the very edges of them."""
    data = _encode(("is it good", CONTEXT, [("not bad", 13)]))
    assert data.labels.tolist() == [[8, 9], [5, 6], [0, 0]]


def test_a_whole_window_can_be_the_answer_but_not_more() -> None:
    """Longer answers stand nowhere."""
    rows = [("is it good", CONTEXT, [(CONTEXT[:20], 0)]), ("is it good", CONTEXT, [(CONTEXT[:24], 0)])]
    assert _encode(*rows).labels.tolist() == [[5, 9], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0]]


def test_the_first_of_several_references_is_trained() -> None:
    """Whatever the others are, even in their place."""
    data = _encode(("is it good", CONTEXT, [("great", 33), ("film", 4), ("film", 1)]))
    assert data.labels.tolist() == [[0, 0], [0, 0], [8, 8]]


def test_a_question_without_an_answer_points_at_the_first_token_everywhere() -> None:
    """Beside one that has an answer in the same context."""
    data = _encode(("is it bad", CONTEXT, []), ("is it good", CONTEXT, [("the", 0)]))
    assert data.labels.tolist() == [[0, 0]] * 3 + [[5, 5], [0, 0], [0, 0]]
    assert data.questions == 2 and len(data) == 6


def test_a_part_of_a_token_takes_the_whole_token() -> None:
    """Answers need not end where tokens do: "mov" of "movie", "il" of "film was"."""
    data = _encode(("a", "a movie", [("mov", 2)]), ("a", "the film was", [("ilm w", 5)]))
    assert data.labels.tolist() == [[4, 4], [4, 5]]


def test_places_are_counted_in_characters_not_bytes() -> None:
    """Emoji, accents of two code points, and ideographs before and in the answer."""
    context = "😀 e\u0301 漢字 good — été"
    rows = [("a", context, [(text, context.index(text))]) for text in ("good", "漢", "e\u0301", "été", "😀")]
    data = _encode(*rows, max_length=40)
    found = [_answer(data, window, context) for window in range(5)]
    assert found == ["good", "漢", "e", "été", "😀"]  # this tokenizer drops accents that are characters of their own


def test_an_empty_context_is_a_window_without_context() -> None:
    """Every question has one."""
    data = _encode(("good", "", []), ("good", "film", [("film", 0)]))
    assert _words(data, 0) == ["[CLS]", "good", "[SEP]", "[SEP]"]
    assert data.context.tolist() == [[3, 3], [3, 4]] and data.labels.tolist() == [[0, 0], [3, 3]]


def test_long_questions_are_cut() -> None:
    """At the form's number of tokens; the context keeps its room."""
    data = _encode(("is it a good movie or a bad one", "the film", [("film", 4)]))
    assert _words(data, 0) == ["[CLS]", "is", "it", "a", "good", "[SEP]", "the", "film", "[SEP]"]
    assert data.labels.tolist() == [[7, 7]]


def test_inputs_are_cut_at_what_the_model_can_read() -> None:
    """When the task allows more."""
    tokenizer = deepcopy(TOKENIZER)
    tokenizer.model_max_length = MAX_LENGTH
    data = SpanReader(tokenizer, 384, FORM).encode(_examples(("is it good", CONTEXT, [])))
    assert data.lengths.tolist() == [MAX_LENGTH] * 3


@pytest.mark.parametrize(
    ("answer", "start"), [(" film", 3), (" film", 4), ("film ", 4), ("film", 3), ("\tfilm\n", 3)], ids=repr
)
def test_white_space_around_an_answer_does_not_count(answer: str, start: int) -> None:
    """Neither in its text nor before its start."""
    assert _encode(("a", "the film is", [(answer, start)])).labels.tolist() == [[4, 4]]


@pytest.mark.parametrize(("answer", "start"), [("film", 5), ("Film", 4), ("film", -4), ("", 2), (" ", 3), ("film", 99)])
def test_an_answer_that_does_not_stand_in_its_context_is_an_error(answer: str, start: int) -> None:
    """By the id of its question."""
    with pytest.raises(DataError, match=rf"question q1: its answer '{answer}' does not stand at character {start} of"):
        _encode(("a", "film", []), ("a", "the film", [(answer, start)]))


def test_real_answers_are_found_again(mirror: Path) -> None:
    """In SQuAD, by the offsets of the labelled tokens; punctuation and case as they stand there."""
    table = pd.read_parquet(mirror / "rajpurkar/squad/plain_text/validation.parquet").iloc[:150]
    answers = [list(zip(a["text"], map(int, a["answer_start"]), strict=True)) for a in table.answers]
    rows = zip(table.question, table.context, answers, strict=True)
    form = SpanFormat(stride=60, max_question=20)
    data = SpanReader(TOKENIZER, 128, form).encode(_examples(*rows))
    found = {}
    for window in np.flatnonzero(data.labels[:, 0]):
        example = int(data.examples[window])
        found[example] = _answer(data, window, table.context.iloc[example])
        assert found[example] == answers[example][0][0]
    assert len(found) > 120  # the tokens of this tokenizer are characters: long answers fit into no window
    assert len(data) > 8 * len(table)


# --- batches --------------------------------------------------------------------------------------


def test_the_masks_of_a_batch() -> None:
    """Answerable: the first token and the context. Frozen: all but the context, and the answer in it."""
    data = _encode(("good", "the film", [("film", 4)]), ("it is", "not bad", []))
    inputs = data.collate(np.array([0, 1]))
    assert [_words(data, row) for row in (0, 1)] == [
        ["[CLS]", "good", "[SEP]", "the", "film", "[SEP]"],
        ["[CLS]", "it", "is", "[SEP]", "not", "bad", "[SEP]"],
    ]
    yes, no = True, False
    assert inputs["answerable"].tolist() == [[yes, no, no, yes, yes, no, no, no], [yes, no, no, no, yes, yes, no, no]]
    assert inputs["frozen"].tolist() == [
        [yes, yes, yes, no, yes, yes, yes, yes],
        [yes, yes, yes, yes, no, no, yes, yes],
    ]
    assert inputs["attention_mask"].tolist() == [[1] * 6 + [0] * 2, [1] * 7 + [0]]
    assert inputs["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1, 0]]
    assert {inputs[name].dtype for name in ("answerable", "frozen")} == {torch.bool}


def _split() -> EncodedSpans:
    """Eleven windows of very different lengths."""
    contexts = ["the", "", CONTEXT, "a good film", CONTEXT + " " + CONTEXT]
    return _encode(*(("is it good"[: 2 + 3 * (row % 3)], context, []) for row, context in enumerate(contexts)))


def _logits(data: EncodedSpans, rows: np.ndarray) -> np.ndarray:
    """What tells window, start or end, and position; padding gets something else."""
    width = data.collate(rows)["input_ids"].shape[1]
    made = 1000.0 * rows[:, None, None] + 100 * np.arange(2)[:, None] + np.arange(width)
    made[np.arange(width)[None, None, :].repeat(2, 1).repeat(len(rows), 0) >= data.lengths[rows][:, None, None]] = -7
    return made.astype(np.float32)


def test_logits_come_back_as_they_were_put() -> None:
    """Put in other batches than picked, in any order, one row twice; closed where a row has ended."""
    data = _split()
    store = data.new_logits(2)
    assert store.shape == (data.lengths.sum(), 2) and store.dtype == np.float32
    store[:] = np.nan
    for rows in data.by_length(3):
        data.put_logits(store, rows, _logits(data, rows))
    window, position = 4, 6
    assert store[data.starts[window] + position].tolist() == [4006, 4106], "a row of the store is a token"
    for chosen in ([3, 0, len(data) - 1, 3], [1], list(range(len(data)))):
        rows = np.array(chosen)
        expected = _logits(data, rows)
        found = data.pick_logits(torch.from_numpy(store), torch.from_numpy(rows))
        assert found.dtype == torch.float32 and found.is_contiguous()
        assert (found.numpy() == np.where(expected == -7, CLOSED, expected)).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_picked_logits_keep_the_precision_of_the_store(dtype: torch.dtype) -> None:
    """Closed ones are finite in each; the store is not written to."""
    data = _split()
    store = torch.ones(int(data.starts[-1]), 2, dtype=dtype)
    found = data.pick_logits(store, torch.arange(len(data)))
    assert found.dtype == dtype and found.isfinite().all() and (store == 1).all()
    assert (found == 1).sum() == 2 * data.lengths.sum()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("rows_on", ["cpu", "cuda"])
def test_logits_are_picked_where_the_store_is(rows_on: str) -> None:
    """The rows may be here or there."""
    data = _split()
    store, rows = torch.randn(int(data.starts[-1]), 2), torch.tensor([5, 0, 2])
    found = data.pick_logits(store.cuda(), rows.to(rows_on))
    assert found.is_cuda and torch.equal(found.cpu(), data.pick_logits(store, rows))


# --- the cache ------------------------------------------------------------------------------------

ROWS = [("is it good", CONTEXT, [("great", 33)]), ("a", "😀 film", [])]
ARRAYS = ("tokens", "types", "starts", "labels", "examples", "context", "offsets")


class _Silent:
    """A real tokenizer that cannot be called."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.__class__ = type(type(tokenizer).__name__, (_Silent,), {})  # the name is a part of the key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("the tokenizer was called")


def _same(first: EncodedSpans, second: EncodedSpans) -> bool:
    assert (first.pad, first.questions) == (second.pad, second.questions)
    pairs = [(getattr(first, name), getattr(second, name)) for name in ARRAYS]
    assert all(a.dtype == b.dtype for a, b in pairs)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_a_split_is_tokenised_once(tmp_path: Path) -> None:
    """Whatever the tokenizer was used for in the meantime; all arrays are as without a cache."""
    cache, tokenizer = ArtifactCache(tmp_path), deepcopy(TOKENIZER)
    first = SpanReader(tokenizer, MAX_LENGTH, FORM, cache).encode(_examples(*ROWS))
    assert _same(first, _encode(*ROWS))
    tokenizer(["a", "film"], truncation=True, max_length=3, padding=True)  # stays set inside the tokenizer
    again = SpanReader(_Silent(tokenizer), MAX_LENGTH, FORM, cache).encode(_examples(*ROWS))  # type: ignore[arg-type]
    assert _same(first, again) and again.types is not None
    assert again.tokens.dtype == again.types.dtype == np.int64, "they are narrower on disk"
    assert len(list((tmp_path / "features").glob("*/windows.safetensors"))) == 1


def test_a_tokenizer_without_segment_ids_has_none_from_the_cache_either(tmp_path: Path) -> None:
    """As DistilBERT's."""
    tokenizer = deepcopy(TOKENIZER)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    reader = SpanReader(tokenizer, MAX_LENGTH, FORM, ArtifactCache(tmp_path))
    assert reader.encode(_examples(*ROWS)).types is None and reader.encode(_examples(*ROWS)).types is None


def _other_tokenizer() -> Any:
    tokenizer = deepcopy(TOKENIZER)
    tokenizer.add_tokens(["great movie"])
    return tokenizer


@pytest.mark.parametrize(
    ("rows", "tokenizer", "max_length", "form"),
    [
        ([("is it bad", *ROWS[0][1:]), ROWS[1]], TOKENIZER, MAX_LENGTH, FORM),
        ([(ROWS[0][0], CONTEXT + "s", ROWS[0][2]), ROWS[1]], TOKENIZER, MAX_LENGTH, FORM),
        ([(*ROWS[0][:2], [("film", 4)]), ROWS[1]], TOKENIZER, MAX_LENGTH, FORM),
        (ROWS, TOKENIZER, MAX_LENGTH + 1, FORM),
        (ROWS, TOKENIZER, MAX_LENGTH, SpanFormat(stride=3, max_question=4)),
        (ROWS, TOKENIZER, MAX_LENGTH, SpanFormat(stride=2, max_question=2)),
        (ROWS, _other_tokenizer(), MAX_LENGTH, FORM),
    ],
    ids=["question", "context", "answer", "length", "stride", "question length", "tokenizer"],
)
def test_whatever_changes_windows_changes_the_key(
    tmp_path: Path, rows: Any, tokenizer: Any, max_length: int, form: SpanFormat
) -> None:
    """Nothing stale is read."""
    cache = ArtifactCache(tmp_path)
    first = SpanReader(TOKENIZER, MAX_LENGTH, FORM, cache).encode(_examples(*ROWS))
    other = SpanReader(tokenizer, max_length, form, cache).encode(_examples(*rows))
    assert not _same(first, other)
    assert _same(other, SpanReader(tokenizer, max_length, form).encode(_examples(*rows)))


def test_how_answers_are_read_does_not_change_the_key(tmp_path: Path) -> None:
    """Windows are the same for it."""
    cache = ArtifactCache(tmp_path)
    SpanReader(TOKENIZER, MAX_LENGTH, FORM, cache).encode(_examples(*ROWS))
    form = FORM.model_copy(update={"n_best": 3, "max_answer": 2, "unanswerable": True})
    SpanReader(_Silent(TOKENIZER), MAX_LENGTH, form, cache).encode(_examples(*ROWS))  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", ["cut", "empty", "gone"])
def test_a_damaged_file_costs_time_only(tmp_path: Path, damage: str) -> None:
    """The split is tokenised again."""
    reader = SpanReader(TOKENIZER, MAX_LENGTH, FORM, ArtifactCache(tmp_path))
    first = reader.encode(_examples(*ROWS))
    (file,) = (tmp_path / "features").glob("*/windows.safetensors")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100] if damage == "cut" else b"")
    assert _same(first, reader.encode(_examples(*ROWS)))


# --- the reader -----------------------------------------------------------------------------------


def test_the_tokenizer_is_left_beside_a_model(tmp_path: Path) -> None:
    """And tells readers of other vocabularies apart."""
    reader = SpanReader(TOKENIZER, MAX_LENGTH, FORM)
    reader.save(tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
    assert reader.differs(SpanReader(tiny_tokenizer(), MAX_LENGTH, FORM)) is None
    assert "do not share one vocabulary" in str(reader.differs(SpanReader(_other_tokenizer(), MAX_LENGTH, FORM)))


def test_models_that_read_less_cut_other_windows() -> None:
    """The vocabulary is the same, and still they cannot share a teacher's logits."""
    short = deepcopy(TOKENIZER)
    short.model_max_length = MAX_LENGTH - 2
    difference = SpanReader(TOKENIZER, MAX_LENGTH, FORM).differs(SpanReader(short, MAX_LENGTH, FORM))
    assert (
        difference == f"read {MAX_LENGTH} and {MAX_LENGTH - 2} tokens at most: set the task's 'max_length' to the lower"
    )


def test_a_part_of_an_answer_is_as_frozen_as_a_whole_one() -> None:
    """A generator that rewrote half of an answer would make the other half wrong."""
    data = _encode(("a", "the film is a good movie and it is not bad", [("good movie and it", 14)]))
    assert len(data) == 2 and not data.labels.any(), "no window holds it whole"
    assert (data.answers[:, 1] - data.answers[:, 0]).tolist() == [3, 3]
    inputs = data.collate(np.arange(len(data)))
    for row in range(len(data)):
        words = _words(data, row)
        free = {words[i] for i in (~inputs["frozen"][row]).nonzero().flatten().tolist()}
        assert not free & {"good", "movie", "and"} and free <= {"the", "film", "is", "a", "it", "not", "bad"}


def test_who_only_reads_answers_does_not_ask_where_references_stand() -> None:
    """A reported set may say so wrongly: nothing that is measured depends on it."""
    examples = _examples(("a", "the film", [("Film", 4)]))
    data = SpanReader(TOKENIZER, MAX_LENGTH, FORM, trains=False).encode(examples)
    assert data.labels.tolist() == [[0, 0]] and data.questions == 1


def test_a_tokenizer_without_offsets_is_named(tmp_path: Path) -> None:
    """The slow ones, written in Python."""
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENIZER.get_vocab()), encoding="utf-8")
    with pytest.raises(ModelError, match="BertTokenizer: cannot tell which characters a token covers"):
        SpanReader(BertTokenizer(tmp_path / "vocab.txt"), MAX_LENGTH, FORM)
