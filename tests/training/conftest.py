"""Tiny trainings with the real trainer: tasks, teachers and a factory of trainers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from kdbench.artifacts import ArtifactCache
from kdbench.budget import Budget, Updates
from kdbench.checks.training import TinyTask, tiny_task
from kdbench.locations import Locations
from kdbench.methods.kinds import Kind
from kdbench.methods.registry import METHODS
from kdbench.methods.stages import Stage
from kdbench.models.build import Head, build_generator, build_model
from kdbench.models.spec import ModelSource, ModelSpec, NetSpec, TinyBert
from kdbench.tasks.spec import ImageFormat
from kdbench.training.teachers import TeacherBank
from kdbench.training.trainer import Trainer

CHECKPOINTS = 3
MakeModel = Callable[..., PreTrainedModel]
MakeTrainer = Callable[..., Trainer]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Torch computes on one core."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> TinyTask:
    """Tiny sentiment classification with three teacher checkpoints and an assistant."""
    return tiny_task("text-classification", tmp_path_factory.mktemp("classes"), CHECKPOINTS)


@pytest.fixture(scope="session")
def scores_task(tmp_path_factory: pytest.TempPathFactory) -> TinyTask:
    """The same sentences with scores."""
    return tiny_task("text-regression", tmp_path_factory.mktemp("scores"), CHECKPOINTS)


@pytest.fixture(scope="session")
def span_task(tmp_path_factory: pytest.TempPathFactory) -> TinyTask:
    """Questions about short texts, some without an answer."""
    return tiny_task("question-answering", tmp_path_factory.mktemp("questions"), CHECKPOINTS)


@pytest.fixture(scope="session")
def image_task(tmp_path_factory: pytest.TempPathFactory) -> TinyTask:
    """Four kinds of handwritten digits, which training shifts by up to a pixel."""
    return tiny_task("image-classification", tmp_path_factory.mktemp("images"), CHECKPOINTS)


def tiny_network(outputs: int, layers: int = 2, seed: int = 1) -> PreTrainedModel:
    """A network for the digits; teachers are wider, as those of texts are deeper."""
    spec = ModelSpec(name="tiny", source=ModelSource(net=NetSpec(family="resnet", depth=8, base=4 * (layers - 1))))
    form = ImageFormat(size=8, channels=1, mean=(0.3,), std=(0.4,), crop=1)
    return build_model(spec, Head("image-classification", outputs, form), Locations(offline=True), seed=seed)


@pytest.fixture(scope="session")
def make_model() -> MakeModel:
    """Builds tiny classifiers; ``dropout=False`` makes their forward the same in every mode."""

    def make(
        outputs: int = 2, *, kind: Kind = "text-classification", layers: int = 2, seed: int = 1, dropout: bool = True
    ) -> PreTrainedModel:
        spec = ModelSpec(name="tiny", source=ModelSource(tiny=TinyBert(layers=layers, hidden=16)))
        model = build_model(spec, Head(kind, outputs), Locations(offline=True), seed=seed)
        if not dropout:
            for module in model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
                if hasattr(module, "dropout_prob"):  # of attention, which has no module of its own
                    module.dropout_prob = 0.0
        return model

    return make


def _generator(_steps: int) -> PreTrainedModel:
    spec = ModelSpec(name="tiny", source=ModelSource(tiny=TinyBert(layers=1, hidden=16)))
    return build_generator(spec, Locations(offline=True), seed=0)[0]


@pytest.fixture
def make_trainer(tmp_path: Path, make_model: MakeModel) -> MakeTrainer:
    """Builds trainers; the same ``folder`` continues what was begun there, the same ``cache`` shares its work.

    The method is an expression (``annealing+mate``) or a list of stages.
    """

    def make(
        task: TinyTask,
        method: str | list[Stage],
        updates: int = 12,
        *,
        folder: str = "run",
        cache: str = "",
        seed: int = 1,
        model: PreTrainedModel | None = None,
        settings: dict[str, dict[str, Any]] | None = None,
        budget: dict[str, Any] | None = None,
        **options: Any,
    ) -> Trainer:
        spent = Budget(**{"batch_size": 8, "learning_rate": 1e-2, **(budget or {})})
        if isinstance(method, str):
            method = METHODS.build(method, settings, task.kind).stages(
                Updates(updates, task.per_epoch), task.trajectory
            )
        images = task.kind == "image-classification"
        build = tiny_network if images else partial(make_model, kind=task.kind)
        teachers = TeacherBank(
            ArtifactCache(tmp_path / (cache or f"{folder}/cache")),
            task.data.train,
            torch.device("cpu"),
            task.folders,
            lambda: build(task.head.outputs, layers=3, seed=7),
        )
        return Trainer(
            Accelerator(cpu=True),
            build(task.head.outputs, seed=seed) if model is None else model,
            task.reader,
            task.data,
            method,
            spent,
            learning_rate=spent.learning_rate,
            seed=seed,
            folder=tmp_path / folder / "checkpoint",
            teachers=teachers,
            generator=_generator,
            **options,
        )

    return make
