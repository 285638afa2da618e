"""The victim as TextAttack sees it. Imports TextAttack: only for use inside ``_library.session``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from textattack.goal_functions import UntargetedClassification
from textattack.models.wrappers import ModelWrapper

from kdbench.errors import AttackError

if TYPE_CHECKING:
    from kdbench.attacks.text import Column, TextExample


class VictimWrapper(ModelWrapper):
    """Turns TextAttack's texts into the victim's columns, and its logits into probabilities.

    TextAttack is shown only the part of one column that may change; the other column and whatever follows
    are put back here. So the rest of the example stays as it is by construction, and the library's own
    handling of pairs (one text joined by a separator) is never needed.
    """

    goal = UntargetedClassification
    tail = ""
    _example: TextExample

    def __init__(self, victim: Any, perturb: Column, max_length: int) -> None:
        self.model = victim  # TextAttack looks at its class only
        self.perturb = perturb
        self.max_length = max_length  # asked for by gradient recipes: how many words may be ranked
        self._gradient: tuple[str, list[str], np.ndarray] | None = None

    def show(self, example: TextExample) -> tuple[str, int | str]:
        """Begin the next example; returns its perturbed column and its label."""
        self._example = example
        self._gradient = None
        return (example.text_pair or "") if self.perturb == "text_pair" else example.text, int(example.label)

    def __call__(self, text_input_list: list[str], **kwargs: Any) -> torch.Tensor:
        """Class probabilities (texts, classes), float64.

        The library would apply a float32 softmax. From a logit margin of 17 on that is exactly 1, so for a
        confident victim no word would matter more than another, and its scale of logits is what distillation
        changes; with many classes the rounded sum is even refused. In float64 the margin may reach 36.
        """
        distinct = list(dict.fromkeys(text_input_list))
        position = {text: row for row, text in enumerate(distinct)}
        logits = np.asarray(self.model.logits(*self._columns(distinct)))
        if logits.shape != (len(distinct), self.model.num_labels):
            raise AttackError(
                f"the victim returned logits of shape {logits.shape} for {len(distinct)} texts and "
                f"{self.model.num_labels} classes"
            )
        if not np.isfinite(logits).all():
            raise AttackError("the victim returned logits that are not finite; was its training unstable?")
        rows = torch.from_numpy(logits.astype(np.float64))[[position[text] for text in text_input_list]]
        return torch.softmax(rows, dim=1)

    def _columns(self, parts: list[str]) -> tuple[list[str], list[str] | None]:
        whole = [part + self.tail for part in parts]
        example = self._example
        if self.perturb == "text_pair":
            return [example.text] * len(whole), whole
        return whole, None if example.text_pair is None else [example.text_pair] * len(whole)

    def get_grad(self, text_input: str) -> dict[str, Any]:
        """The victim's gradient for gradient-ranked recipes, as TextAttack's own wrappers return it."""
        return {"gradient": self._tokens_and_gradient(text_input)[1]}

    def _tokenize(self, inputs: list[str]) -> list[list[str]]:
        return [self._tokens_and_gradient(text)[0] for text in inputs]

    def _tokens_and_gradient(self, text: str) -> tuple[list[str], np.ndarray]:
        if self._gradient is None or self._gradient[0] != text:
            texts, pairs = self._columns([text])
            tokens, gradient = self.model.gradient(texts[0], pairs[0] if pairs else None, self.perturb)
            self._gradient = (text, tokens, gradient)
        return self._gradient[1], self._gradient[2]
