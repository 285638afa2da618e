"""Checks of an objective by itself, on random outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from kdbench.methods.base import Context, Objective, Outputs

BATCH = 6


def check_objective(objective: Objective, outputs: int) -> str | None:
    """What is wrong with an objective, or nothing.

    Args:
        outputs: width of the logits; 1 means regression.
    """
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn((2, BATCH, outputs), generator=generator)
    labels = torch.randn(BATCH, generator=generator) if outputs == 1 else torch.arange(BATCH) % outputs
    context = Context(regression=outputs == 1, scale=1.0, progress=0.25)
    reference = _loss(objective, student, teacher, labels, context)
    if isinstance(reference, str):
        return reference
    for dtype in (torch.float64, torch.bfloat16):
        cast = labels.to(dtype) if outputs == 1 else labels
        value = _loss(objective, student.to(dtype), teacher.to(dtype), cast, context)
        if isinstance(value, str):
            return f"with {dtype}: {value}"
    order = torch.randperm(BATCH, generator=generator)
    permuted = _loss(objective, student[order], teacher[order], labels[order], context)
    if isinstance(permuted, str) or not torch.allclose(permuted, reference, rtol=1e-4, atol=1e-6):
        return f"the loss depends on the order of the batch: {reference} and {permuted}"
    return _check_device(objective, student, teacher, labels, context)


def _loss(objective: Objective, student: Tensor, teacher: Tensor, labels: Tensor, context: Context) -> Tensor | str:
    terms = objective.hard(_outputs(student), labels, context)
    if objective.uses_teacher:
        terms = terms | objective.soft(_outputs(student), _outputs(teacher), context)
    if not terms:
        return "returns no terms"
    for name, value in terms.items():
        if value.ndim:
            return f"term '{name}' is not a scalar, its shape is {tuple(value.shape)}"
        if not torch.isfinite(value):
            return f"term '{name}' is {value.item()}"
    return torch.stack([value.float() for value in terms.values()]).sum()


def _outputs(logits: Tensor) -> Outputs:
    """Outputs with hidden states and attentions of a small model, made from the logits alone."""
    tokens, width, heads = 5, 16, 2
    state = logits.mean(-1)[:, None, None].expand(-1, tokens, width)
    attention = state[:, None, :, :tokens].expand(-1, heads, -1, -1).softmax(-1)
    return Outputs(logits, (state,) * 4, (attention,) * 3)


def _check_device(
    objective: Objective, student: Tensor, teacher: Tensor, labels: Tensor, context: Context
) -> str | None:
    """Run on the meta device: a tensor that the objective makes on the CPU clashes there as it would on a GPU."""
    student, teacher, labels = student.to("meta"), teacher.to("meta"), labels.to("meta")
    try:
        objective.hard(_outputs(student), labels, context)
        if objective.uses_teacher:
            objective.soft(_outputs(student), _outputs(teacher), context)
    except (RuntimeError, NotImplementedError) as error:
        if "device" in str(error):
            return f"assumes a device: {str(error).splitlines()[0]}"
    return None
