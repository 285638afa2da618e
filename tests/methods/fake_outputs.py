"""Made-up outputs of models, in float64, and objectives at work on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from kdbench.budget import Updates
from kdbench.inputs.base import CLOSED
from kdbench.methods.contract import Context, Objective, ObjectiveSetup, Outputs, TrainableObjective
from kdbench.methods.registry import METHODS
from kdbench.methods.stages import Trajectory

BATCH, TOKENS = 6, 5
LENGTHS = (5, 3, 4, 2, 5, 1)
MASK = torch.tensor([[token < length for token in range(TOKENS)] for length in LENGTHS]).long()
LABELS = torch.tensor([0, 2, 1, 1, 0, 2])


def text_outputs(seed: int, *, layers: int = 3, width: int = 8, heads: int = 2, classes: int = 3) -> Outputs:
    """A text encoder's outputs on a batch of ``BATCH`` rows of ``TOKENS`` tokens."""
    made = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=made, dtype=torch.float64)

    return Outputs(
        draw(BATCH, classes),
        tuple(draw(BATCH, TOKENS, width) for _ in range(layers + 1)),
        tuple(draw(BATCH, heads, TOKENS, TOKENS).softmax(-1) for _ in range(layers)),
        tuple(
            (draw(BATCH, TOKENS, width), draw(BATCH, TOKENS, width), draw(BATCH, TOKENS, width)) for _ in range(layers)
        ),
    )


ANSWERABLE = MASK.bool() & (torch.arange(TOKENS) != 1)
ANSWERS = torch.tensor([[2, 3], [0, 0], [2, 2], [0, 0], [3, 4], [0, 0]])


def span_outputs(seed: int, **shape: Any) -> Outputs:
    """The same with logits of starts and ends; padding and the second token, a question, are closed."""
    made = torch.Generator().manual_seed(100 + seed)
    logits = torch.randn(BATCH, 2, TOKENS, generator=made, dtype=torch.float64)
    return replace(text_outputs(seed, **shape), logits=logits.masked_fill(~ANSWERABLE[:, None, :], CLOSED))


def span_context(**settings: Any) -> Context:
    """What goes with :func:`span_outputs`."""
    inputs = {"attention_mask": MASK, "answerable": ANSWERABLE}
    return context(**({"labels": ANSWERS, "inputs": inputs} | settings))


def image_outputs(seed: int, *, base: int = 4, size: int = 8, stages: int = 3, classes: int = 3) -> Outputs:
    """A residual network's outputs: the stem, stages of half the size and twice the channels, pooled features."""
    made = torch.Generator().manual_seed(seed)
    shapes = [(base, size, size)] + [(base << s, size >> s, size >> s) for s in range(stages)]
    maps = [torch.randn(BATCH, *shape, generator=made, dtype=torch.float64) for shape in shapes]
    logits = torch.randn(BATCH, classes, generator=made, dtype=torch.float64)
    return Outputs(logits, (*maps, maps[-1].mean((2, 3))))


def mapped(outputs: Outputs, function: Any) -> Outputs:
    """``function`` of every tensor of some outputs."""

    def each(tensors: tuple[Tensor, ...] | None) -> tuple[Tensor, ...] | None:
        return tensors and tuple(map(function, tensors))

    return replace(
        outputs,
        logits=function(outputs.logits),
        hidden_states=each(outputs.hidden_states),
        attentions=each(outputs.attentions),
        projections=outputs.projections and tuple(each(triple) for triple in outputs.projections),
    )


def context(**settings: Any) -> Context:
    """Six examples of three classes, padded texts, in the middle of a stage."""
    known: dict[str, Any] = {
        "progress": 0.5,
        "labels": LABELS,
        "rows": torch.arange(BATCH),
        "inputs": {"attention_mask": MASK},
        "seed": 7,
    }
    return Context(**(known | settings))


def at_work(objective: Objective, student: Outputs, teacher: Outputs, *, labels: Tensor = LABELS) -> Any:
    """The objective as the trainer uses it: started in float64 when it has weights."""
    if not isinstance(objective, TrainableObjective):
        return objective
    torch.manual_seed(0)
    module: Any = objective.start(ObjectiveSetup(student, teacher, labels, 0))
    return module.double()


def first_objective(expression: str, kind: str, **settings: Any) -> Objective:
    """The objective of a method's first stage."""
    method = METHODS.build(expression, {expression: settings}, kind)
    return method.stages(Updates(40, 8), Trajectory.nominal(3, assistants=1))[0].objective


def values(terms: dict[str, Tensor]) -> dict[str, float]:
    """Terms as numbers."""
    return {name: value.item() for name, value in terms.items()}
