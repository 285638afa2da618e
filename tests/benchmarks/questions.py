"""Questions: how long windows and decoding take, beside what they are made for."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from kdbench.answers.decoding import Windows, decode
from kdbench.artifacts import ArtifactCache
from kdbench.inputs.spans import SpanReader
from kdbench.locations import Locations
from kdbench.models.build import Head, build_model, load_tokenizer
from kdbench.models.spec import PAIRS
from kdbench.tasks.dataset import SpanExamples
from kdbench.tasks.questions import to_questions
from kdbench.tasks.sources import locate, read
from kdbench.tasks.spec import TASKS
from kdbench.training.predict import predict
from tests.benchmarks.measure import show

HERE = Locations.from_environment()
PAIR = PAIRS.get("minilm-l6-l3")
TASK = TASKS.get("squad_v2")
assert TASK.spans is not None
FORM = TASK.spans
COUNT = 10_000


def measure_windows(rounds: int) -> None:
    """(g)"""
    examples = _questions()
    if examples is None:
        print("(g) no SQuAD 2.0 here: KDBENCH_DATA names a mirror that has it")
        return
    tokenizer = load_tokenizer(PAIR.teacher, HERE)
    reader = SpanReader(tokenizer, TASK.max_length, FORM)

    def overflow() -> None:
        tokenizer(
            examples.texts,
            examples.pairs,
            truncation="only_second",
            max_length=TASK.max_length,
            stride=FORM.stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )

    with tempfile.TemporaryDirectory() as folder:
        cached = SpanReader(tokenizer, TASK.max_length, FORM, ArtifactCache(Path(folder)))
        cached.encode(examples)
        found = [
            [_seconds(overflow), _seconds(lambda: reader.encode(examples)), _seconds(lambda: cached.encode(examples))]
            for _ in range(rounds + 1)
        ][1:]
    cold = np.array(found)[:, 1]
    print(f"(g) windows of {len(examples)} questions: {np.median(cold):.2f} s", flush=True)
    show("(g) transformers' overflow call / ours", [row[0] / row[1] for row in found], "> 1")
    show("(g) ours / from the cache", [row[1] / row[2] for row in found], "> 1")


def measure_decoding(rounds: int) -> None:
    """(h)"""
    examples = _questions()
    if examples is None:
        print("(h) no SQuAD 2.0 here: KDBENCH_DATA names a mirror that has it")
        return
    reader = SpanReader(load_tokenizer(PAIR.teacher, HERE), TASK.max_length, FORM)
    data, part = reader.encode(examples), reader.encode(examples.take(range(64)))
    windows = Windows(data.starts, data.examples, data.context, data.offsets)
    logits = np.random.default_rng(0).normal(0, 3, (len(data.tokens), 2)).astype(np.float32)
    seconds = [_seconds(lambda: decode(logits, windows, data.questions, FORM)) for _ in range(rounds + 1)][1:]
    print(
        f"(h) decoding {len(data)} windows of {data.lengths.mean():.0f} tokens: {np.median(seconds):.2f} s", flush=True
    )
    model = build_model(PAIR.student, Head("question-answering", 2), HERE, seed=0)
    predict(model, part)
    predicting = _seconds(lambda: predict(model, part)) / len(part) * len(data)
    show("(h) prediction by the student / decoding", [predicting / value for value in seconds], "> 10")


def _questions() -> SpanExamples | None:
    """Ten thousand questions about five to a context: the mirror's own twice, asked in other words."""
    located = locate(TASK.source, TASK.splits.train, HERE)
    if located.path is None:
        return None
    table = read(located, HERE)
    whole = to_questions(table, TASK.columns, unanswerable=True, where="squad_v2")
    again = whole.take(np.arange(COUNT) % len(whole))
    asked = [f"{text} ({row})" for row, text in enumerate(again.texts)]
    told = [f"{context} {row // len(whole)}" for row, context in enumerate(again.pairs or [])]
    return SpanExamples(
        again.ids, again.labels, None, texts=asked, pairs=told, answers=again.answers, answer_starts=again.answer_starts
    )


def _seconds(work: Callable[[], object]) -> float:
    torch.set_num_threads(1)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
