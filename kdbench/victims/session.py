"""Attacks on one victim, one after another: what they share, and what makes their results comparable."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from kdbench.attacks.image_state import StateFile
from kdbench.attacks.memo import Memo
from kdbench.attacks.spec import AttackSpec
from kdbench.attacks.version import asset_fingerprints, attack_version
from kdbench.cells.common import best_device
from kdbench.cells.data import AnyExamples, read_examples
from kdbench.errors import ModelError
from kdbench.evaluation_plan import task_view
from kdbench.evaluations.attacked import sample_attacked
from kdbench.hashing import digest
from kdbench.locations import Locations
from kdbench.victims.attack import Attacked, Report, attack_victim
from kdbench.victims.folder import Victim, load_victim
from kdbench.victims.request import Request
from kdbench.victims.results import AttackEntry, summarize_attack

THREADS = 1
"""As in a suite's cells: rounding depends on how many there are."""


@dataclass(frozen=True)
class Settings:
    """How a victim is attacked.

    Attributes:
        examples: how many are sampled.
        seed: of the sample and of the attacks.
        query_budget: most queries for a text.
        perturb: ``first`` or ``second``, which text of a pair changes.
    """

    examples: int
    seed: int
    query_budget: int
    perturb: str


@dataclass(frozen=True)
class Session:
    """A victim and the examples it is attacked on.

    Attributes:
        memo: work shared with other victims.
    """

    victim: Victim
    request: Request
    examples: AnyExamples
    settings: Settings
    locations: Locations
    memo: Memo

    @property
    def identity(self) -> dict[str, Any]:
        """Whatever can change an outcome, the attack aside; plain data."""
        task, dataset, order = self.request.task, self.request.dataset, self.victim.order
        reading = [task_view(task), dataset.model_dump(mode="json", exclude={"description", "source"})]
        return {
            "model": self.victim.fingerprint,
            "task": task.name,
            "dataset": dataset.name,
            "split": dataset.split,
            "data": self.request.located.fingerprint,
            "reading": digest(reading)[:12],
            "outputs": [] if order is None else [task.labels[index] for index in order.classes],
            "sampled": len(self.examples),
            "seed": self.settings.seed,
        }

    def version(self, attack: AttackSpec) -> str:
        """See :func:`kdbench.attacks.version.attack_version`."""
        run: dict[str, Any] = {"examples": self.settings.examples, "seed": self.settings.seed}
        if attack.kind != "image":
            run["query_budget"] = self.settings.query_budget
        if attack.kind == "text":
            run["perturb"] = self._column
        return attack_version(attack, run, asset_fingerprints(attack, self.locations.assets()))

    def run(self, attack: AttackSpec, report: Report, state: StateFile | None = None) -> tuple[AttackEntry, Attacked]:
        """Carry out one attack.

        Args:
            report: progress.
            state: where an attack on images keeps what it has found so far.

        Raises:
            AttackError: it cannot run here, or not on this victim.
        """
        start = time.perf_counter()
        attacked = attack_victim(
            self.victim,
            self.examples,
            attack,
            perturb=self._column,
            query_budget=self.settings.query_budget,
            seed=self.settings.seed,
            directories=self.locations.assets(),
            memo=self.memo,
            state=state,
            report=report,
        )
        return summarize_attack(self.version(attack), attacked, time.perf_counter() - start), attacked

    def doubts(self, entry: AttackEntry) -> tuple[str, ...]:
        """Why the victim's classes may be mixed up, judging by its accuracy before an attack; or nothing."""
        classes, accuracy = len(self.request.task.labels), entry.metrics["clean_accuracy"]
        if not classes or accuracy > 1 / classes:
            return ()
        return (
            f"clean accuracy {accuracy:.1%} is not better than guessing ({1 / classes:.1%}): the classes may be "
            "mixed up, or the model is for another task; --labels names them in the order of the model's outputs",
        )

    @property
    def _column(self) -> Any:
        pairs = self.request.dataset.columns.text_pair is not None
        return "text_pair" if pairs and self.settings.perturb == "second" else "text"


def open_session(
    folder: Path,
    request: Request,
    settings: Settings,
    locations: Locations,
    *,
    labels: Sequence[str] = (),
    memo: Path | None = None,
    device: str = "auto",
) -> Session:
    """Load a model and the examples it is to be attacked on.

    Args:
        folder: a model directory, or a cell of a store.
        labels: the task's classes in the order of the model's outputs; the model's own names when empty.
        memo: keeps work that does not depend on the victim.
        device: where the model runs; ``auto`` is a GPU if there is one.

    Raises:
        ModelError: no model for this task, or no such device.
        DataError: the data cannot be had, or is not what the task needs.
    """
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.allow_tf32 = False  # as in evaluations: fp32 means fp32
    target = _device(device)
    victim = load_victim(folder, request.task, tuple(labels))
    examples = _sample(request, locations, settings)
    return Session(replace(victim, model=victim.model.to(target)), request, examples, settings, locations, Memo(memo))


def _sample(request: Request, locations: Locations, settings: Settings) -> AnyExamples:
    """The examples that a suite with the same numbers attacks; of questions only those that have an answer."""
    task, dataset = request.task, request.dataset
    examples = read_examples(
        request.located, dataset.columns, task.labels, dict(dataset.label_map), task_view(task), locations
    )
    return sample_attacked(examples, settings.examples, settings.seed)


def _device(name: str) -> str:
    if name == "auto":
        return best_device()
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[name]:
        raise ModelError(f"--device {name}: PyTorch finds none here; it has {', '.join(d for d in there if there[d])}")
    return name
