"""Adversarial images at work: projected gradient ascent in an L∞ ball (Madry et al., ICLR 2018)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdbench.hashing import derive_seed
from kdbench.inputs.base import Inputs
from kdbench.methods import losses
from kdbench.methods.augment.adversarial_images import AdversarialImages
from kdbench.methods.augment.base import AugmenterContext, Batch
from kdbench.methods.augment.inner import autocast, divergence, held_fixed


class AdversarialImagesRun:
    """One stage; every batch is attacked anew, with the student as it is at that moment."""

    def __init__(self, settings: AdversarialImages, context: AugmenterContext) -> None:
        self.settings = settings
        self.context = context

    def before_update(self, step: int, teacher: Callable[[], PreTrainedModel]) -> None:
        """Nothing: there is no generator to train."""

    def augment(self, batch: Batch, step: int) -> Inputs:
        """x': the images of a batch, moved within the ball; the start depends on the seed and ``step`` alone."""
        settings, images = self.settings, batch.inputs["pixel_values"]
        source = torch.Generator().manual_seed(derive_seed("ball", self.context.seed, step))
        noise = torch.rand(images.shape, generator=source).to(images) * 2 - 1
        with held_fixed(self.context.student):
            found = ascend(
                self._objective(batch),
                images,
                images + settings.epsilon * noise,
                epsilon=settings.epsilon,
                step_size=settings.step_size,
                steps=settings.steps,
            )
        return {**batch.inputs, "pixel_values": found}

    def state(self) -> dict[str, Tensor]:
        """Nothing is carried from one update to the next."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Nothing to put back."""

    def _objective(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """What is maximised, as a function of the images."""
        kind, student = self.settings.divergence, self.context.student
        teacher = batch.teacher_model() if self.settings.live_teacher else None

        def objective(images: Tensor) -> Tensor:
            with autocast(student, self.context.precision):
                logits = student(pixel_values=images).logits.float()
                if kind == "ce":
                    return losses.cross_entropy(logits, batch.labels)
                target = teacher(pixel_values=images).logits.float() if teacher else batch.teacher.logits
                return divergence(kind, logits, target)

        return objective


def ascend(
    objective: Callable[[Tensor], Tensor],
    images: Tensor,
    start: Tensor,
    *,
    epsilon: float,
    step_size: float,
    steps: int,
) -> Tensor:
    """Steps along the sign of the gradient, each projected back into the ball and into [0, 1].

    Args:
        objective: images to a scalar.
        images: ``(batch, channels, height, width)`` in [0, 1], the centre of the ball.
        start: the same shape; projected before the first step.
        epsilon: radius of the L∞ ball.
        step_size: length of a step in every pixel.
        steps: how many.
    """
    low, high = (images - epsilon).clamp_(min=0), (images + epsilon).clamp_(max=1)
    current = torch.minimum(torch.maximum(start, low), high)
    for _ in range(steps):
        current.requires_grad_()
        (gradient,) = torch.autograd.grad(objective(current), current)
        moved = current.detach().add_(gradient.sign_(), alpha=step_size)
        current = torch.minimum(torch.maximum(moved, low), high)
    return current
