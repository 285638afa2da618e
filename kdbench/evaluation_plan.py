"""Which evaluations a suite asks for of one trained model, as cells to be added to a plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from kdbench.attacks.assets import missing_assets
from kdbench.budget import Budget
from kdbench.corruptions import COMPUTED
from kdbench.corruptions.library import library_version, missing_library
from kdbench.locations import Locations
from kdbench.suite import Suite
from kdbench.tasks.sources import Located, locate
from kdbench.tasks.spec import DatasetSpec, TaskSpec


class Add(Protocol):
    """Adds an evaluation cell and its row; returns the cell's key."""

    def __call__(self, evaluation: str, name: str, weight: float, upstream: dict[str, str], /, **spec: Any) -> str:
        """Add one; ``weight`` is its cost, in student epochs."""
        ...


@dataclass
class EvaluationPlanner:
    """The evaluations of one trained model.

    Attributes:
        model: key of the training cell.
        own: where the reported split is.
        reference: keys of the teacher's evaluations by ``evaluation/name``; empty for the teacher itself.
        add: adds a cell to the plan.
        skip: notes an evaluation and a name that cannot be had here, and why.
        dataset_view: of a dataset, what can change an evaluation.
    """

    suite: Suite
    budget: Budget
    locations: Locations
    task: TaskSpec
    model: str
    own: Located
    reference: dict[str, str]
    add: Add
    skip: Callable[..., None]
    dataset_view: Callable[[DatasetSpec, Located], dict[str, Any]]

    def plan(self) -> dict[str, str]:
        """Add everything the suite wants; returns keys by ``evaluation/name``."""
        wanted, task = self.suite.evaluations, self.task
        self.found: dict[str, str] = {}
        self.view = task_view(task)
        name = task.name
        reported = self.dataset_view(task.evaluation_dataset(), self.own)
        limit = self.budget.max_evaluation
        if wanted.in_domain:
            self._add("in_domain", name, 0.1, metrics=task.metrics, dataset=reported, limit=limit)
        if wanted.trajectory and not self.reference:
            self._add("trajectory", name, 0.3, metrics=task.metrics[:1], dataset=reported, limit=limit)
        if wanted.ood:
            self._out_of_domain()
        if wanted.attack and task.attack_kind:
            self._attacks(reported)
        if wanted.corruption and task.modality == "image":
            self._corruptions(reported)
        in_domain = self.found.get(f"in_domain/{name}", "")
        if wanted.fidelity and self.reference:
            teacher = self.reference[f"in_domain/{name}"]
            self._add("fidelity", name, 0.01, upstream={"model": in_domain, "teacher": teacher})
        if wanted.calibration and task.kind != "text-regression":
            self._add("calibration", name, 0.01, upstream={"model": in_domain}, bins=wanted.calibration.bins)
        if wanted.efficiency:
            shape = wanted.efficiency.model_dump(exclude=None if task.modality == "text" else {"tokens"})
            self._add("efficiency", name, 0.02, **shape)
        return self.found

    def _add(
        self, evaluation: str, name: str, weight: float, *, upstream: dict[str, str] | None = None, **spec: Any
    ) -> None:
        key = self.add(evaluation, name, weight, upstream or {"model": self.model}, task=self.view, **spec)
        self.found[f"{evaluation}/{name}"] = key

    def _out_of_domain(self) -> None:
        for dataset in self.task.ood:
            located = locate(dataset.source, dataset.split, self.locations)
            if located.missing:
                self.skip("ood", dataset.name, located.missing)
                continue
            view, limit = self.dataset_view(dataset, located), self.budget.max_evaluation
            self._add("ood", dataset.name, 0.1, metrics=self.task.ood_metrics, dataset=view, limit=limit)

    def _attacks(self, reported: dict[str, Any]) -> None:
        settings, task = self.suite.evaluations.attack, self.task
        assert settings is not None
        afforded = {n: a for n, a in self.suite.attacks.items() if not self.budget.attacks or n in self.budget.attacks}
        fitting = {name: attack for name, attack in afforded.items() if attack.kind == task.attack_kind}
        if not fitting:
            reason = f"none of them is for {task.kind}; those of kind {task.attack_kind} are (kdbench list attacks)"
            self.skip("attack", ", ".join(afforded), reason, replaced=True)
        for name, attack in fitting.items():
            lacking = missing_assets(attack, self.locations.assets())
            if lacking:
                self.skip("attack", name, f"attack {name} needs {'; '.join(lacking)}")
                continue
            spec: dict[str, Any] = {
                "dataset": reported,
                "attack": attack.model_dump(mode="json", exclude={"description", "cite"}),
                "examples": self.budget.attack_examples or settings.examples,
                "seed": settings.seed,
            }
            if task.modality == "text":
                spec["query_budget"] = settings.query_budget
            if task.attack_kind == "text":
                second = settings.perturb == "second" and task.columns.text_pair is not None
                spec["perturb"] = "text_pair" if second else "text"
            self._add("attack", name, 1.0, **spec)
            if self.suite.evaluations.transfer and self.reference:
                spec.pop("query_budget", None)
                source, own = self.reference[f"attack/{name}"], self.found[f"attack/{name}"]
                upstream = {"model": self.model, "source": source, "own": own}
                self._add("transfer", name, 0.05, upstream=upstream, **spec)

    def _corruptions(self, reported: dict[str, Any]) -> None:
        """From the published set where it is had; computed otherwise, under a name of its own."""
        settings, task = self.suite.evaluations.corruption, self.task
        assert settings is not None
        prepared, name = None, COMPUTED
        if task.corrupted is not None:
            located = locate(task.corrupted.source, task.corrupted.split, self.locations)
            if located.missing:
                reason = f"{located.missing}; {COMPUTED} stands in"
                self.skip("corruption", task.corrupted.name, reason, replaced=True)
            else:
                prepared, name = self.dataset_view(task.corrupted, located), task.corrupted.name
        lacking = None if prepared else missing_library()
        if lacking:
            self.skip("corruption", name, lacking)
            return
        self._add(
            "corruption",
            name,
            0.5,
            dataset=reported,
            source=prepared,
            library=None if prepared else library_version(),
            limit=self.budget.max_corrupted or self.budget.max_evaluation,
            corruptions=settings.corruptions,
            severities=settings.severities,
        )


def task_view(task: TaskSpec) -> dict[str, Any]:
    """Of a task, what tells how inputs are read and outputs are understood."""
    view: dict[str, Any] = {"kind": task.kind, "labels": task.labels}
    if task.image is not None:
        return {**view, "image": task.image.model_dump(mode="json")}
    if task.spans is not None:
        view["spans"] = task.spans.model_dump(mode="json")
    return {**view, "max_length": task.max_length}
