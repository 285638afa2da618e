"""A tiny BERT over characters: random weights, no files. For self-tests, never for results."""

from __future__ import annotations

import string
import tempfile
from pathlib import Path

from transformers import BertConfig, BertTokenizerFast, PreTrainedTokenizerBase

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_WORDS = [
    "the",
    "a",
    "of",
    "and",
    "to",
    "in",
    "is",
    "it",
    "that",
    "this",
    "was",
    "not",
    "no",
    "good",
    "bad",
    "great",
    "terrible",
    "movie",
    "film",
]


def tiny_tokenizer() -> PreTrainedTokenizerBase:
    """A WordPiece tokenizer that knows single characters and a few words, hence any ASCII text."""
    letters = [c for c in string.printable if not c.isspace() and not c.isupper()]
    vocabulary = [*_SPECIAL, *_WORDS, *letters, *(f"##{c}" for c in letters if c.isalnum())]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("\n".join(dict.fromkeys(vocabulary)), encoding="utf-8")
        return BertTokenizerFast(vocab_file=str(path), do_lower_case=True, model_max_length=128)


def tiny_config(layers: int, hidden: int) -> BertConfig:
    """The configuration that goes with :func:`tiny_tokenizer`."""
    return BertConfig(
        vocab_size=len(tiny_tokenizer()),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * hidden,
        max_position_embeddings=128,
    )
