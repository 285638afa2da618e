"""Questions about contexts: windows of tokens, and where in them the answers stand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from kdbench.artifacts import ArtifactCache
from kdbench.errors import DataError, ModelError
from kdbench.hashing import digest
from kdbench.inputs.base import CLOSED, Inputs, Reader
from kdbench.inputs.positions import answer_spans, answer_tokens, clip, locate
from kdbench.inputs.text import EncodedTexts, TokenReader, padded_width, ranges
from kdbench.inputs.windows import assemble, cut, distinct, pair_template, tokenise
from kdbench.tasks.dataset import SpanExamples
from kdbench.tasks.spec import SpanFormat

COMPACT = {"tokens": np.int32, "types": np.int8}
"""How wide numbers are on disk, where that is less than in memory."""


@dataclass(frozen=True)
class EncodedSpans(EncodedTexts):
    """A split of questions, cut into windows: the start, the question, a part of the context. A row is a window.

    Attributes:
        labels: ``(windows, 2)`` int64 positions in the window of the first and the last token of the answer; (0, 0),
            the token that stands for no answer, where the window does not hold the whole of one.
        examples: ``(windows,)`` int64 question of each window; windows of a question are neighbours.
        context: ``(windows, 2)`` int64 positions of the first token of the context and of the first after it.
        offsets: ``(total, 2)`` int32 characters of the context where each token starts and ends; (0, 0) for tokens
            that are not of the context.
        answers: ``(windows, 2)`` int64 positions of the first token of what the window holds of the answer, and of
            the first after it; equal where it holds nothing.
        questions: how many there are.
    """

    examples: np.ndarray
    context: np.ndarray
    offsets: np.ndarray
    answers: np.ndarray
    questions: int

    def collate(self, rows: np.ndarray, view: int | None = None) -> Inputs:
        """Model inputs of some windows, and two masks, ``(batch, width)`` bool.

        ``answerable``: the first token and those of the context. ``frozen``: what augmenters must leave as it is, that
        is all but the context, and in the context the answer, or the part of it that the window holds.
        """
        inputs = super().collate(rows, view)
        position = np.arange(inputs["input_ids"].shape[1])
        first, stop = self.context[rows].T[:, :, None]
        start, end = self.answers[rows].T[:, :, None]
        context = (position >= first) & (position < stop)
        answer = (position >= start) & (position < end)
        inputs["answerable"] = torch.from_numpy(context | (position == 0))
        inputs["frozen"] = torch.from_numpy(~context | answer)
        return inputs

    def new_logits(self, width: int) -> np.ndarray:
        """``(total, width)``: one row for each token of each window, so that nothing is kept of padding."""
        return np.empty((len(self.tokens), width), dtype=np.float32)

    def put_logits(self, store: np.ndarray, rows: np.ndarray, logits: np.ndarray) -> None:
        """``logits`` are ``(batch, width, tokens)``, tokens as in ``collate(rows)``."""
        lengths = self.lengths[rows]
        real = np.arange(logits.shape[2]) < lengths[:, None]
        store[ranges(self.starts[rows], lengths)] = logits.transpose(0, 2, 1)[real]

    def pick_logits(self, store: Tensor, rows: Tensor) -> Tensor:
        """``(batch, width, tokens)``, tokens as in ``collate(rows)``; padding is closed.

        ``rows`` on the CPU spare a wait for the device: how wide the batch is must be known here.
        """
        chosen = rows.cpu().numpy()
        lengths = self.lengths[chosen]
        position = torch.arange(padded_width(lengths), device=store.device)
        starts, sizes = (torch.from_numpy(x)[:, None].to(store.device) for x in (self.starts[chosen], lengths))
        places = (starts + position).clamp_(max=len(store) - 1)
        padding = (position >= sizes)[:, None, :]
        return store[places].transpose(1, 2).masked_fill(padding, CLOSED)


@dataclass(frozen=True)
class SpanReader(TokenReader):
    """How questions about contexts are read.

    Attributes:
        form: how contexts are cut into windows.
        cache: keeps encoded splits on disk for whoever reads the same texts in the same way.
        trains: whether an answer that does not stand in its context is an error. Who only reads what a model answers
            does not ask where the references stand.
    """

    form: SpanFormat
    cache: ArtifactCache | None = None
    trains: bool = True

    def __post_init__(self) -> None:
        """Refuse a tokenizer that cannot tell which characters a token covers.

        Raises:
            ModelError: it is not a fast one.
        """
        if not self.tokenizer.is_fast:
            raise ModelError(
                f"{type(self.tokenizer).__name__}: cannot tell which characters a token covers: "
                "choose a model with a fast tokenizer"
            )

    def encode(self, examples: SpanExamples) -> EncodedSpans:
        """Tokenise a split, or load what was made of it before.

        The answer that is trained is the first reference.

        Raises:
            DataError: an answer does not stand in its context, or ``max_length`` leaves no room for a context.
            ModelError: the tokenizer does not suit question answering.
        """
        spans = answer_spans(examples, strict=self.trains)
        arrays = self._tokenise(examples, spans) if self.cache is None else self._cached(self.cache, examples, spans)
        return EncodedSpans(
            tokens=arrays["tokens"].astype(np.int64),
            types=arrays["types"].astype(np.int64) if "types" in arrays else None,
            starts=arrays["starts"],
            labels=arrays["labels"],
            pad=int(self.tokenizer.pad_token_id),
            examples=arrays["examples"],
            context=arrays["context"],
            offsets=arrays["offsets"],
            answers=arrays["answers"],
            questions=len(examples),
        )

    def differs(self, other: Reader) -> str | None:
        """Two models can share windows only when they cut texts alike."""
        assert isinstance(other, SpanReader)
        if self._longest != other._longest:
            return f"read {self._longest} and {other._longest} tokens at most: set the task's 'max_length' to the lower"
        return super().differs(other)

    @property
    def _longest(self) -> int:
        return min(self.max_length, int(self.tokenizer.model_max_length))

    def _check_room(self, taken: int) -> None:
        """Refuse windows that would not move on in the context.

        Args:
            taken: tokens of the longest question and of the special ones around it.

        Raises:
            DataError: it leaves no more room than windows overlap.
        """
        room = self._longest - taken
        if room > self.form.stride:
            return
        change = f"raise the task's 'max_length' ({self.max_length})"
        if self._longest < self.max_length:
            change = f"this model reads {self._longest} tokens at most, take another"
        raise DataError(
            f"a question leaves room for {max(room, 0)} tokens of its context, and windows that overlap by "
            f"{self.form.stride} need more: {change}, or lower 'stride' or 'max_question' of its 'spans'"
        )

    def _cached(self, cache: ArtifactCache, examples: SpanExamples, spans: np.ndarray) -> dict[str, np.ndarray]:
        key = {
            "version": 2,  # of this module and of windows.py
            "questions": examples.texts,
            "contexts": examples.pairs,
            "answers": spans.tolist(),
            "max_length": self._longest,
            "stride": self.form.stride,
            "max_question": self.form.max_question,
            "tokenizer": tokenizer_digest(self.tokenizer),
        }

        def produce(folder: Path) -> None:
            save_file(self._tokenise(examples, spans), folder / "windows.safetensors")

        folder = cache.get("features", key, produce)
        try:
            arrays: dict[str, np.ndarray] = load_file(folder / "windows.safetensors")
        except (OSError, SafetensorError):  # damaged, or deleted just now
            return self._tokenise(examples, spans)
        return arrays

    def _tokenise(self, examples: SpanExamples, spans: np.ndarray) -> dict[str, np.ndarray]:
        """The arrays of an :class:`EncodedSpans`, as narrow as they are on disk."""
        template = pair_template(self.tokenizer)
        distinct_questions, asked = distinct(examples.texts)
        distinct_contexts, about = distinct(examples.pairs or [])
        questions = tokenise(self.tokenizer, distinct_questions).heads(self.form.max_question)
        contexts = tokenise(self.tokenizer, distinct_contexts, offsets=True)
        self._check_room(template.size + int(questions.lengths.max(initial=0)))
        rooms = self._longest - template.size - questions.lengths[asked]
        cuts = cut(contexts.lengths[about], rooms, self.form.stride)
        windows = assemble(template, questions, contexts, asked, about, cuts)
        begins, tokens = windows.context[:, 0], answer_tokens(spans, contexts, about)
        arrays = {
            "tokens": windows.tokens,
            "types": windows.types,
            "starts": windows.starts,
            "labels": locate(tokens, cuts, begins),
            "answers": clip(tokens, cuts, begins),
            "examples": cuts.examples,
            "context": windows.context,
            "offsets": windows.offsets,
        }
        if "token_type_ids" not in self.tokenizer.model_input_names:
            del arrays["types"]
        return {name: values.astype(COMPACT.get(name, values.dtype)) for name, values in arrays.items()}


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Of everything that decides about token ids and offsets, whatever the tokenizer was used for before."""
    state: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    del state["truncation"], state["padding"]  # left over from the latest call
    names = [type(tokenizer).__name__, *tokenizer.model_input_names]
    return digest([state, names, version("tokenizers")])
