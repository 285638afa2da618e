"""Frozen teachers: their logits, computed once per checkpoint and split, and the models themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from kdbench.artifacts import ArtifactCache
from kdbench.inputs.base import Encoded
from kdbench.methods.stages import TeacherRef
from kdbench.models.build import load_model
from kdbench.training.predict import predict

VIEWS_BYTES = 4 * 2**30
"""How much disk the logits of augmented views may take, of all trainings of a store together."""


class TeacherBank:
    """The teachers a training may ask for.

    Logits of the training split are kept on disk, keyed by the cell that made the teacher and the view of the
    data, so every method, and seed and epoch where the data is not augmented, shares one forward pass. At most
    one teacher model and one view's logits of each teacher are in memory.
    """

    def __init__(
        self,
        cache: ArtifactCache,
        data: Encoded,
        device: torch.device,
        folders: Mapping[TeacherRef, tuple[str, Path]],
        random: Callable[[], PreTrainedModel] | None = None,
        precision: str = "fp32",
    ) -> None:
        """Describe the teachers; nothing is loaded yet.

        Args:
            data: the training split.
            folders: teacher -> (key that identifies it, folder of its files).
            random: builds the untrained teacher, where one is used.
            precision: of the teacher's forward passes, that of the training.
        """
        self.cache = cache
        self.data = data
        self.device = device
        self.folders = folders
        self.random = random
        self.precision = precision
        self._logits: dict[TeacherRef, tuple[int | None, Tensor]] = {}
        self._loaded: tuple[TeacherRef, PreTrainedModel] | None = None

    def logits(self, teacher: TeacherRef, view: int | None = None) -> Tensor:
        """Logits of the whole training split in one view, as ``predict`` gives them, on the training device."""
        known = self._logits.get(teacher)
        if known is None or known[0] != view:
            known = view, self._cached(teacher, view).to(self.device)
            self._logits[teacher] = known
        return known[1]

    def model(self, teacher: TeacherRef) -> PreTrainedModel:
        """The teacher itself, frozen, in evaluation mode, on the training device."""
        if self._loaded is None or self._loaded[0] != teacher:
            self._loaded = None  # free the old one first
            if teacher.kind == "random":
                assert self.random is not None
                model = self.random()
            else:
                model = load_model(self.folders[teacher][1])
            self._loaded = (teacher, model.to(self.device).eval().requires_grad_(False))
        return self._loaded[1]

    @property
    def loaded(self) -> PreTrainedModel | None:
        """The teacher in memory, if any."""
        return self._loaded[1] if self._loaded else None

    def _cached(self, teacher: TeacherRef, view: int | None) -> Tensor:
        if teacher.kind == "random":
            return self._compute(teacher, view)
        key, _ = self.folders[teacher]

        def produce(folder: Path) -> None:
            save_file({"logits": self._compute(teacher, view)}, folder / "logits.safetensors")

        identity = {"teacher": key, "index": teacher.index, "precision": self.precision, "view": view}
        kind = "teacher-logits" if view is None else "teacher-logits-of-views"
        folder = self.cache.get(kind, identity, produce)
        try:
            logits = load_file(folder / "logits.safetensors")["logits"]
        except (OSError, SafetensorError):  # another process has just made room
            return self._compute(teacher, view)
        if view is not None:  # one file for each teacher, seed and epoch: a long run would fill a disk
            self.cache.trim(kind, VIEWS_BYTES)
        return logits

    def _compute(self, teacher: TeacherRef, view: int | None) -> Tensor:
        return torch.from_numpy(predict(self.model(teacher), self.data, precision=self.precision, view=view))
