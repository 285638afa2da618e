"""The victim as TextAttack sees it. Imports TextAttack: only for use inside ``_library.session``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from textattack.goal_functions import UntargetedClassification
from textattack.models.wrappers import ModelWrapper

from kdbench.attacks.memo import Memo
from kdbench.errors import AttackError

if TYPE_CHECKING:
    from kdbench.attacks.text import Column, TextExample

Query = tuple[str, str | None]
"""A text and its pair, as the victim reads them."""


@dataclass
class View:
    """What concerns one example.

    Attributes:
        tail: follows every perturbed text, because it lies beyond what may be perturbed.
        gradient: the last text whose gradient was asked for, with its tokens and their gradients.
    """

    example: TextExample
    tail: str = ""
    gradient: tuple[str, list[str], np.ndarray] | None = None


class VictimWrapper(ModelWrapper):
    """Turns TextAttack's texts into the victim's columns, and its logits into probabilities.

    TextAttack is shown only the part of one column that may change; the other column and whatever follows
    are put back here. So the rest of the example stays as it is by construction, and the library's own
    handling of pairs (one text joined by a separator) is never needed.
    """

    goal = UntargetedClassification
    view: View
    ask: Callable[[Callable[[list[Any]], Any], Sequence[Any]], list[Any]]
    memo: Memo
    directories: tuple[Path, ...]

    def __init__(self, victim: Any, perturb: Column, max_length: int) -> None:
        self.model = victim  # TextAttack looks at its class only
        self.perturb = perturb
        self.max_length = max_length  # asked for by gradient recipes: how many words may be ranked

    def show(self, example: TextExample) -> tuple[str, int | str]:
        """Begin the next example; returns its perturbed column and its label."""
        self.view = View(example)
        return (example.text_pair or "") if self.perturb == "text_pair" else example.text, int(example.label)

    def __call__(self, text_input_list: list[str], **kwargs: Any) -> torch.Tensor:
        """Class probabilities (texts, classes), float64.

        The library would apply a float32 softmax. From a logit margin of 17 on that is exactly 1, so for a
        confident victim no word would matter more than another, and its scale of logits is what distillation
        changes; with many classes the rounded sum is even refused. In float64 the margin may reach 36.
        """
        logits = np.stack(self.ask(self.answer, [self._query(part) for part in text_input_list]))
        return torch.softmax(torch.from_numpy(logits.astype(np.float64)), dim=1)

    def answer(self, questions: list[Query]) -> np.ndarray:
        """Logits (questions, classes) of distinct texts of any examples."""
        logits = np.empty((len(questions), self.model.num_labels), np.float32)
        paired = np.array([pair is not None for _, pair in questions])
        for rows in (np.flatnonzero(~paired), np.flatnonzero(paired)):
            if len(rows):
                texts, pairs = zip(*(questions[row] for row in rows), strict=True)
                logits[rows] = self._logits(texts, pairs if paired[rows[0]] else None)
        return logits

    def _logits(self, texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        logits = np.asarray(self.model.logits(texts, pairs))
        if logits.shape != (len(texts), self.model.num_labels):
            raise AttackError(
                f"the victim returned logits of shape {logits.shape} for {len(texts)} texts and "
                f"{self.model.num_labels} classes"
            )
        if not np.isfinite(logits).all():
            raise AttackError("the victim returned logits that are not finite; was its training unstable?")
        return logits

    def _query(self, part: str) -> Query:
        example, whole = self.view.example, part + self.view.tail
        return (example.text, whole) if self.perturb == "text_pair" else (whole, example.text_pair)

    def get_grad(self, text_input: str) -> dict[str, Any]:
        """The victim's gradient for gradient-ranked recipes, as TextAttack's own wrappers return it."""
        return {"gradient": self._tokens_and_gradient(text_input)[1]}

    def _tokenize(self, inputs: list[str]) -> list[list[str]]:
        return [self._tokens_and_gradient(text)[0] for text in inputs]

    def _tokens_and_gradient(self, text: str) -> tuple[list[str], np.ndarray]:
        known = self.view.gradient
        if known is None or known[0] != text:
            tokens, gradient = self.model.gradient(*self._query(text), self.perturb)
            known = self.view.gradient = (text, tokens, gradient)
        return known[1], known[2]
