"""FreeLB at work (Zhu et al., ICLR 2020, algorithm 1), with a teacher in place of the labels.

FreeLB adds up the gradients of K perturbed copies of a batch before it updates. The weights do not
change in between, so that is one update on all K copies at once, which is what the student gets.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdbench.hashing import derive_seed
from kdbench.inputs.base import Inputs
from kdbench.inputs.run import logits_of, run
from kdbench.methods.augment.adversarial_embeddings import AdversarialEmbeddings
from kdbench.methods.augment.base import AugmenterContext, Batch
from kdbench.methods.augment.inner import autocast, divergence, held_fixed


class AdversarialEmbeddingsRun:
    """One stage; every batch is attacked anew, with the student as it is at that moment."""

    def __init__(self, settings: AdversarialEmbeddings, context: AugmenterContext) -> None:
        self.settings = settings
        self.context = context

    def before_update(self, step: int, teacher: Callable[[], PreTrainedModel]) -> None:
        """Nothing: there is no generator to train."""

    def augment(self, batch: Batch, step: int) -> Inputs:
        """K views of the batch as ``inputs_embeds`` ``(K x batch, tokens, width)``, one whole view after the other.

        The words are looked up with gradient, so the student's update reaches its word embeddings.
        """
        others = {name: value for name, value in batch.inputs.items() if name != "input_ids"}
        words = self.context.student.get_input_embeddings()(batch.inputs["input_ids"])
        with held_fixed(self.context.student):
            perturbations = self._perturbations(words.detach(), others, batch.teacher.logits, step)
        views = torch.cat([words + perturbation for perturbation in perturbations])
        repeated = {name: torch.cat([value] * len(perturbations)) for name, value in others.items()}
        return {**repeated, "inputs_embeds": views}

    def state(self) -> dict[str, Tensor]:
        """Nothing is carried from one update to the next."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Nothing to put back."""

    def _perturbations(self, words: Tensor, others: Inputs, teacher: Tensor, step: int) -> list[Tensor]:
        """δ0 … δ(K-1), each ``(batch, tokens, width)`` and zero at padding."""
        settings, student = self.settings, self.context.student
        real = others["attention_mask"].unsqueeze(-1).to(words)
        source = torch.Generator().manual_seed(derive_seed("embeddings", self.context.seed, step))
        noise = torch.rand(words.shape, generator=source).to(words) * 2 - 1
        size = real.sum((1, 2), keepdim=True) * words.shape[-1]
        found = [noise * real * settings.initial_norm / size.sqrt()]
        for _ in range(settings.steps - 1):
            current = found[-1].clone().requires_grad_()
            with autocast(student, self.context.precision):
                logits = logits_of(run(student, others, inputs_embeds=words + current), others)
                distance = divergence(
                    "kl", logits, teacher, regression=self.context.regression, temperature=settings.temperature
                )
            (gradient,) = torch.autograd.grad(distance, current)
            moved = found[-1] + settings.step_size * unit(gradient * real)
            found.append(moved * (settings.epsilon / norms(moved)).clamp(max=1))
        return found


def norms(tensor: Tensor) -> Tensor:
    """Frobenius norm of every example of ``(batch, tokens, width)``, as ``(batch, 1, 1)``; never exactly zero."""
    found: Tensor = torch.linalg.vector_norm(tensor, dim=(1, 2), keepdim=True)
    return found.clamp(min=torch.finfo(tensor.dtype).tiny)


def unit(tensor: Tensor) -> Tensor:
    """Every example of ``(batch, tokens, width)`` divided by its norm; zero stays zero."""
    return tensor / norms(tensor)
