"""Checks of an objective by itself, on random outputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kdbench.inputs.base import CLOSED
from kdbench.methods.contract import Context, Objective, ObjectiveSetup, Outputs, TrainableObjective
from kdbench.methods.kinds import modality

BATCH = 6


TOKENS = 5


@dataclass(frozen=True)
class _Case:
    """A batch of made-up outputs of two models.

    Attributes:
        padding: tokens behind the others that are none, with whatever the models make of them.
    """

    kind: str
    student: Tensor
    teacher: Tensor
    labels: Tensor
    rows: Tensor
    padding: int = 0

    def to(self, target: Any) -> _Case:
        """In another dtype (class labels stay integers), or on another device."""
        integers = isinstance(target, torch.dtype) and not self.labels.is_floating_point()
        labels = self.labels if integers else self.labels.to(target)
        rows = self.rows if isinstance(target, torch.dtype) else self.rows.to(target)
        return replace(self, student=self.student.to(target), teacher=self.teacher.to(target), labels=labels, rows=rows)

    def permuted(self, order: Tensor) -> _Case:
        """The same examples in another order."""
        return _Case(
            self.kind, self.student[order], self.teacher[order], self.labels[order], self.rows[order], self.padding
        )

    def padded(self, padding: int) -> _Case:
        """The same examples in a wider batch."""
        student, teacher = (F.pad(logits, (0, padding), value=CLOSED) for logits in (self.student, self.teacher))
        return replace(self, student=student, teacher=teacher, padding=padding)

    def outputs(self, logits: Tensor) -> Outputs:
        """Everything that a small model of the kind can return beside such logits."""
        found = _outputs(logits[..., : logits.shape[-1] - self.padding], self.kind)
        return replace(found, logits=logits)

    @property
    def context(self) -> Context:
        """As the trainer would give it."""
        inputs = {}
        if modality(self.kind) == "text":
            inputs["attention_mask"] = torch.ones(BATCH, TOKENS, dtype=torch.int64, device=self.student.device)
        if self.kind == "question-answering":
            inputs["answerable"] = torch.arange(TOKENS + self.padding, device=self.student.device) < TOKENS
            inputs["answerable"] = inputs["answerable"].expand(BATCH, -1)
        return Context(
            regression=self.kind == "text-regression",
            progress=0.25,
            labels=self.labels,
            rows=self.rows,
            inputs=inputs,
        )


def check_objective(objective: Objective, kind: str, outputs: int) -> str | None:
    """What is wrong with an objective, or nothing.

    Args:
        kind: of the task.
        outputs: width of the logits.
    """
    case = _case(kind, outputs)
    reference = _loss(objective, case)
    if isinstance(reference, str):
        return reference
    for dtype in (torch.float64, torch.bfloat16):
        value = _loss(objective, case.to(dtype))
        if isinstance(value, str):
            return f"with {dtype}: {value}"
    permuted = _loss(objective, case.permuted(torch.tensor([3, 0, 5, 1, 4, 2])))
    if isinstance(permuted, str) or not torch.allclose(permuted, reference, rtol=1e-4, atol=1e-6):
        return f"the loss depends on the order of the batch: {reference} and {permuted}"
    if kind == "question-answering":
        padded = _loss(objective, case.padded(3))
        if isinstance(padded, str) or not torch.allclose(padded, reference, rtol=1e-4, atol=1e-6):
            return (
                f"the loss depends on how far a batch is padded: {reference} and {padded}: leave out what "
                "context.mask does not mark, as kdbench.methods.losses do"
            )
    return _check_device(objective, case)


def _case(kind: str, outputs: int) -> _Case:
    generator = torch.Generator().manual_seed(0)
    shape = (BATCH, outputs, TOKENS) if kind == "question-answering" else (BATCH, outputs)
    student, teacher = torch.randn((2, *shape), generator=generator)
    scores = torch.randn(BATCH, generator=generator)
    labels = scores if kind == "text-regression" else _labels(kind, outputs)
    return _Case(kind, student, teacher, labels, torch.arange(BATCH))


def _labels(kind: str, outputs: int) -> Tensor:
    """Classes, or the first and the last token of answers."""
    rows = torch.arange(BATCH)
    if kind == "question-answering":
        return torch.stack([rows % TOKENS, rows.clamp(max=TOKENS - 1)], dim=1)
    return rows % outputs


def _loss(objective: Objective, case: _Case) -> Tensor | str:
    terms = _terms(objective, case)
    if not terms:
        return "returns no terms"
    for name, value in terms.items():
        if value.ndim:
            return f"term '{name}' is not a scalar, its shape is {tuple(value.shape)}"
        if not torch.isfinite(value):
            return f"term '{name}' is {value.item()}"
    return torch.stack([value.float() for value in terms.values()]).sum()


def _terms(objective: Objective, case: _Case) -> dict[str, Tensor]:
    """Hard and soft terms; an objective with weights is started anew, so that each case sees the same."""
    student, teacher = (case.outputs(logits) for logits in (case.student, case.teacher))
    if isinstance(objective, TrainableObjective):
        torch.manual_seed(0)
        shapes = [case.outputs(torch.zeros(2, *case.student.shape[1:])) for _ in range(2)]
        labels = _labels(case.kind, case.student.shape[1])
        module: Any = objective.start(ObjectiveSetup(shapes[0], shapes[1], labels, 0))
        objective = module.to(case.student.device).to(case.student.dtype)
    terms = objective.hard(student, case.labels, case.context)
    return terms | objective.soft(student, teacher, case.context) if objective.uses_teacher else terms


def _outputs(logits: Tensor, kind: str) -> Outputs:
    """Outputs with everything that a small model of the kind can return, made from the logits alone."""
    mean = logits.flatten(1).mean(-1)
    state = torch.stack([mean * factor for factor in (1.0, -0.5, 0.25, 2.0)] * 4, dim=-1)
    if modality(kind) == "image":
        maps = state[:, :, None, None].expand(-1, -1, 4, 4)
        return Outputs(logits, (maps, maps, maps[:, :, :2, :2], maps[:, :, :2, :2], state))
    heads = 2
    states = state[:, None, :].expand(-1, TOKENS, -1)
    attention = states[:, None, :, :TOKENS].expand(-1, heads, -1, -1).softmax(-1)
    return Outputs(logits, (states,) * 4, (attention,) * 3, ((states, states, states),) * 3)


def _check_device(objective: Objective, case: _Case) -> str | None:
    """Run on the meta device: a tensor that the objective makes on the CPU clashes there as it would on a GPU."""
    try:
        _terms(objective, case.to("meta"))
    except (RuntimeError, NotImplementedError) as error:
        if "device" in str(error):
            return f"assumes a device: {str(error).splitlines()[0]}"
    return None
