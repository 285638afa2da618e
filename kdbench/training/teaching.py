"""The teachers' side of a training: who answers, to which view of the data, from the cache or now."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdbench.hashing import derive_seed
from kdbench.inputs.base import Encoded, Inputs
from kdbench.inputs.run import close
from kdbench.methods.contract import Outputs
from kdbench.methods.stages import Leg, Stage, TeacherRef
from kdbench.models.projections import enable_attentions
from kdbench.training.forward import forward
from kdbench.training.teachers import TeacherBank


class Teaching:
    """Answers of frozen teachers to training batches.

    Args:
        bank: the teachers; nothing when no stage distills.
        train: the training split.
        per_epoch: updates in an epoch.
        seed: of the training.
        autocast: gives the context of the training's precision.
    """

    def __init__(
        self,
        bank: TeacherBank | None,
        train: Encoded,
        per_epoch: int,
        seed: int,
        autocast: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._bank = bank
        self._train = train
        self._per_epoch = per_epoch
        self._seed = seed
        self._autocast = autocast
        self.live_updates = 0

    @property
    def bank(self) -> TeacherBank:
        """The teachers."""
        assert self._bank is not None, "a stage distills, but the training was given no teachers"
        return self._bank

    def view(self, update: int) -> int | None:
        """The seed of the crops and the like of an update's epoch: the same for every method with this seed."""
        return derive_seed("view", self._seed, update // self._per_epoch) if self._train.augmented else None

    def plan(self, stage: Stage, first: int) -> list[bool]:
        """For each update of a stage, whether its teacher's answers are taken from the shared cache.

        Where training inputs are augmented, they are when one teacher teaches the whole epoch: then no forward pass
        is wasted, and every method of the same seed shares it. Otherwise the teacher is run on the batch.

        Args:
            first: updates before the stage.
        """
        legs = stage.each_leg
        if stage.live_teacher or not stage.distills:
            return [False] * len(legs)
        if not self._train.augmented:
            return [True] * len(legs)
        taught: dict[int, list[TeacherRef | None]] = {}
        for step, leg in enumerate(legs):
            taught.setdefault((first + step) // self._per_epoch, []).append(leg.teacher)
        whole = {n for n, refs in taught.items() if len(refs) == self._per_epoch and len(set(refs)) == 1}
        return [(first + step) // self._per_epoch in whole for step in range(len(legs))]

    def cached_examples(self, stage: Stage, first: int, cached: list[bool]) -> int:
        """Examples whose answers a stage takes from the cache, each teacher and view counted once."""
        steps = [step for step, leg in enumerate(stage.each_leg) if leg.teacher and cached[step]]
        return len(self._train) * len({(stage.each_leg[step].teacher, self.view(first + step)) for step in steps})

    def cached_answers(self, leg: Leg, rows: Tensor, view: int | None, inputs: Inputs) -> Outputs:
        """Logits of some rows, which were collated to ``inputs``, scaled."""
        assert leg.teacher is not None
        logits = self._train.pick_logits(self.bank.logits(leg.teacher, view), rows)
        return Outputs(close(logits * leg.scale, inputs))

    def answers(self, stage: Stage, leg: Leg, inputs: Inputs) -> Outputs:
        """The teacher's outputs on a batch, computed now, its logits scaled."""
        self.live_updates += 1
        with torch.no_grad(), self._autocast():
            outputs = forward(self.model(stage, leg), inputs, stage)
        return replace(outputs, logits=close(outputs.logits * leg.scale, inputs))

    def model(self, stage: Stage, leg: Leg) -> PreTrainedModel:
        """The teacher of a leg, ready for what the stage asks of it."""
        assert leg.teacher is not None
        model = self.bank.model(leg.teacher)
        if stage.needs("attentions"):
            enable_attentions(model)
        return model

    def model_when_asked(self, stage: Stage, leg: Leg) -> Callable[[], PreTrainedModel]:
        """The same, loaded when it is called."""
        return partial(self.model, stage, leg)
