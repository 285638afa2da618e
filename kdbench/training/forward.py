"""One forward pass, with whatever the objective of a stage asks for beside the logits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from kdbench.inputs.base import Inputs
from kdbench.inputs.run import logits_of, run
from kdbench.methods.contract import Outputs
from kdbench.methods.stages import Stage
from kdbench.models.projections import capture_projections


def forward(model: Any, inputs: Inputs, stage: Stage) -> Outputs:
    """Run a model, wrapped or not, on a batch; logits come in fp32."""
    options = {
        "output_hidden_states": stage.needs("hidden_states"),
        "output_attentions": stage.needs("attentions"),
    }
    if stage.needs("projections"):
        with capture_projections(model) as projections:
            result = run(model, inputs, **options)
        return Outputs(logits_of(result, inputs), result.hidden_states, result.attentions, tuple(projections))
    result = run(model, inputs, **options)
    return Outputs(logits_of(result, inputs), result.hidden_states, getattr(result, "attentions", None))


def repeat_outputs(outputs: Outputs, views: int) -> Outputs:
    """The same outputs for ``views`` stacked copies of a batch."""
    if views == 1:
        return outputs

    def again(tensor: Tensor) -> Tensor:
        return stacked(tensor, views)

    return replace(
        outputs,
        logits=again(outputs.logits),
        hidden_states=outputs.hidden_states and tuple(map(again, outputs.hidden_states)),
        attentions=outputs.attentions and tuple(map(again, outputs.attentions)),
        projections=outputs.projections and tuple((again(q), again(k), again(v)) for q, k, v in outputs.projections),
    )


def stacked(tensor: Tensor, views: int) -> Tensor:
    """``views`` copies of a batch, one whole copy after the other."""
    return tensor.repeat(views, *([1] * (tensor.ndim - 1)))
