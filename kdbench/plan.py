"""The plan: a suite expanded into cells, each with the key of everything that can change its numbers.

Pure: no torch, no data, no network. Datasets and models are located, not loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kdbench.budget import Budget, Updates
from kdbench.errors import MethodError, PlanError
from kdbench.evaluation_plan import EvaluationPlanner, task_view
from kdbench.hashing import digest
from kdbench.locations import Locations
from kdbench.methods.base import Method, MethodCost
from kdbench.methods.kinds import Modality
from kdbench.methods.registry import METHODS, reason_against
from kdbench.methods.stages import Trajectory
from kdbench.models.locate import locate_model
from kdbench.models.spec import ModelSpec, PairSpec
from kdbench.planning import (
    Methods,
    build_methods,
    checkpoints_by_kind,
    choose,
    method_view,
    plain,
    resolve_precision,
    upstream_keys,
    without_places,
)
from kdbench.record import RECORD_VERSION
from kdbench.rows import BASELINE, TEACHER, Row, Skipped
from kdbench.suite import Suite
from kdbench.tasks.sources import Located, locate
from kdbench.tasks.spec import DatasetSpec, TaskSpec

NOMINAL_UPDATES = 1000
_TEACHER_FIELDS = {"teacher_epochs", "checkpoints", "teacher_learning_rate"}
_STUDENT_FIELDS = {"epochs", "paper", "learning_rate"}
_COMMON_FIELDS = {
    "batch_size", "optimizer", "momentum", "schedule", "warmup", "weight_decay", "clip_norm", "max_train", "precision",
    "threads",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One unit of work."""

    key: str
    spec: dict[str, Any]
    upstream: tuple[str, ...]
    title: str
    weight: float

    @property
    def kind(self) -> str:
        """``teacher``, ``student`` or ``evaluation``."""
        return str(self.spec["kind"])


@dataclass
class Plan:
    """All cells of a run, upstream before downstream."""

    suite: Suite
    budget: str
    cells: dict[str, Cell] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    methods: Methods = field(default_factory=dict)
    costs: dict[str, MethodCost] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Identifies what rows of one leaderboard must have in common: suite and budget, not the selection."""
        suite = self.suite
        tasks = {name: without_places(task.model_dump(mode="json")) for name, task in suite.tasks.items()}
        return digest(
            {
                "suite": [suite.name, suite.version, suite.teacher_seed],
                "budget": suite.budgets[self.budget].model_dump(mode="json"),
                "evaluations": suite.evaluations.model_dump(mode="json"),
                "tasks": tasks,
                "pairs": {name: pair.model_dump(mode="json") for name, pair in suite.pairs.items()},
                "record": RECORD_VERSION,
            }
        )[:12]


@dataclass(frozen=True)
class Selection:
    """What of a suite is wanted; empty means all."""

    methods: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    budget: str = ""
    device: str = "auto"
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)


def make_plan(suite: Suite, selection: Selection, locations: Locations, *, strict: bool = False) -> Plan:
    """Expand a suite into cells.

    Args:
        suite: resolved by :func:`kdbench.suite.load_suite`.
        selection: which methods, pairs, tasks, seeds and budget.
        locations: where data and models are looked for.
        strict: treat missing out-of-domain sets and attack assets as errors, too.

    Raises:
        PlanError: an unknown name, or something without which nothing can run, all named at once.
        MethodError: a method's settings or composition are impossible.
    """
    return _Planner(suite, selection, locations, strict).plan()


class _Planner:
    def __init__(self, suite: Suite, selection: Selection, locations: Locations, strict: bool) -> None:
        self.suite = suite
        self.locations = locations
        self.strict = strict
        budget = selection.budget or suite.budget
        whole: Budget = choose("budget", suite.budgets, (budget,))[0]
        self.pairs: list[PairSpec] = choose("pair", suite.pairs, selection.pairs or whole.pairs)
        self.tasks: list[TaskSpec] = choose("task", suite.tasks, selection.tasks or whole.tasks)
        modalities: tuple[Modality, ...] = ("text", "image")
        self.budgets = {kind: resolve_precision(whole.of_modality(kind), selection.device) for kind in modalities}
        self.wanted = selection.methods
        self.seeds = tuple(dict.fromkeys(selection.seeds or whole.seeds or suite.seeds))
        counts = checkpoints_by_kind(suite, whole)
        self.methods = build_methods(suite, selection.methods, selection.settings, counts)
        self.out = Plan(suite, budget, methods=self.methods)
        self.missing: list[str] = []

    def plan(self) -> Plan:
        combinations = [(task, pair) for task in self.tasks for pair in self.pairs if pair.kind == task.modality]
        if not combinations:
            raise PlanError(
                f"no pair goes with a task: {', '.join(f'{pair.name} is for {pair.kind}' for pair in self.pairs)}; "
                + ", ".join(f"{task.name} is {task.modality}" for task in self.tasks)
            )
        for task, pair in combinations:
            self.budget: Budget = self.budgets[task.modality]
            self._plan_pair(task, pair)
        for name in self.wanted:
            if name in self.methods and not any(row.method == name for row in self.out.rows):
                reasons = dict.fromkeys(skip.reason for skip in self.out.skipped if skip.dataset == name)
                raise PlanError(f"method {name} can run on none of the pairs and tasks: {'; '.join(reasons)}")
        if self.missing:
            listed = "\n".join(f"  - {reason}" for reason in dict.fromkeys(self.missing))
            raise PlanError(
                f"suite {self.suite.name} cannot run here, this is missing:\n{listed}\n"
                f"On a machine with internet: kdbench fetch --suite {self.suite.name} --to DIR, then run with "
                "--data DIR/data --models DIR/models"
            )
        self.out.skipped = list(dict.fromkeys(self.out.skipped))
        return self.out

    def _plan_pair(self, task: TaskSpec, pair: PairSpec) -> None:
        train = self._locate(task, task.splits.train)
        teacher = self._add(
            {
                "kind": "teacher",
                "task": self._training_view(task, train),
                "chance_margin": task.chance_margin,
                "model": self._model_view(pair.teacher),
                "budget": self._budget_view(_TEACHER_FIELDS),
                "seed": self.suite.teacher_seed,
            },
            f"teacher {pair.teacher.name} on {task.name}",
            weight=self.budget.teacher_epochs,
        )
        row = Row(key=teacher, pair=pair.name, task=task.name, method=TEACHER, seed=self.suite.teacher_seed)
        reference = self._evaluate(row, task, f"teacher {pair.teacher.name} on {task.name}", {}, {})
        baselines: dict[int, dict[str, str]] = {}
        # What attacks find on the baseline is replayed on all others, so it is planned before them.
        for name, kinds in sorted(self.methods.items(), key=lambda item: item[0] != BASELINE):
            if task.kind not in kinds:
                continue  # a checkpoint that teachers of this kind of task do not leave
            method = kinds[task.kind]
            lacking = self._lacking(name, method, task, pair)
            if method is None or lacking:
                skipped = Skipped(pair=pair.name, task=task.name, evaluation="training", dataset=name, reason=lacking)
                self.out.skipped.append(skipped)
                continue
            for seed in self.seeds:
                key = self._student(task, pair, train, name, method, seed, teacher)
                row = Row(key=key, pair=pair.name, task=task.name, method=name, seed=seed)
                who = f"{name} {pair.name} on {task.name} seed {seed}"
                found = self._evaluate(row, task, who, reference, baselines.get(seed, {}))
                if name == BASELINE:
                    baselines[seed] = found

    def _lacking(self, name: str, method: Method | None, task: TaskSpec, pair: PairSpec) -> str:
        """Why a method is left out here, or nothing."""
        if method is None:
            entry = self.suite.methods.get(name)
            reason = reason_against(entry.method if entry else name, task.kind)
            return f"{name} is not defined for {task.kind}" + (f" ({reason})" if reason else "")
        if method.needs_assistant and not pair.assistants:
            return f"{name} needs an assistant, and pair {pair.name} names none"
        return ""

    def _student(
        self, task: TaskSpec, pair: PairSpec, train: Located, name: str, method: Method, seed: int, teacher: str
    ) -> str:
        trajectory = Trajectory.nominal(self.budget.trajectory_length, len(pair.assistants))
        updates = Updates(NOMINAL_UPDATES, max(1, round(NOMINAL_UPDATES / self.budget.epochs)), self.budget.paper)
        try:
            stages = method.stages(updates, trajectory)
        except MethodError as error:
            raise MethodError(f"{name} on pair {pair.name}: {error}") from error
        legs = [leg for stage in stages if stage.distills for leg in stage.legs]
        kinds = {leg.teacher.kind for leg in legs if leg.teacher}
        augmenters = [stage.augmenter for stage in stages if stage.augmenter]
        needs_generator = any(augmenter.needs_generator for augmenter in augmenters)
        if needs_generator and pair.generator is None:
            raise PlanError(f"method {name} needs a generator, and pair {pair.name} names none: add 'generator'")
        self.out.costs[name] = method.cost(updates, trajectory)
        upstream: dict[str, Any] = {"teacher": teacher if "checkpoint" in kinds else None, "assistants": []}
        if "assistant" in kinds:
            upstream["assistants"] = self._assistants(task, pair, train, method, teacher)
        cost = self.out.costs[name]
        return self._add(
            {
                "kind": "student",
                "task": self._training_view(task, train),
                "model": self._model_view(pair.student),
                "method": method_view(method),
                "generator": self._model_view(pair.generator) if needs_generator and pair.generator else None,
                "random_teacher": self._random_view(pair.teacher) if "random" in kinds else None,
                "budget": self._budget_view(_STUDENT_FIELDS),
                "seed": seed,
                "upstream": upstream,
            },
            f"{name} {pair.student.name} on {task.name} seed {seed}",
            weight=self.budget.epochs * (1 + 2 * cost.live_teacher_updates / cost.student_updates) / 2,
        )

    def _assistants(self, task: TaskSpec, pair: PairSpec, train: Located, method: Method, teacher: str) -> list[str]:
        """Students in all but name, each taught by the one before it; trained once, with the teacher's seed."""
        name, settings = method.assistant_method()
        link = METHODS.build(name, {name: settings}, task.kind)
        chain: list[str] = []
        for model in pair.assistants:
            view: dict[str, Any] = {"teacher": None if chain else teacher, "assistants": chain[-1:]}
            key = self._add(
                {
                    "kind": "student",
                    "task": self._training_view(task, train),
                    "model": self._model_view(model),
                    "method": method_view(link),
                    "generator": None,
                    "random_teacher": None,
                    "budget": self._budget_view(_STUDENT_FIELDS),
                    "seed": self.suite.teacher_seed,
                    "upstream": view,
                },
                f"assistant {model.name} on {task.name}",
                weight=self.budget.epochs,
            )
            chain.append(key)
        return chain[-1:]

    def _evaluate(
        self, row: Row, task: TaskSpec, who: str, reference: dict[str, str], baseline: dict[str, str]
    ) -> dict[str, str]:
        """All evaluations of one trained model; returns their keys by ``evaluation/name``."""

        def add(evaluation: str, name: str, weight: float, upstream: dict[str, str], /, **spec: Any) -> str:
            body = {
                "kind": "evaluation",
                "evaluation": evaluation,
                "threads": self.budget.threads,
                "upstream": upstream,
                **spec,
            }
            key = self._add(body, f"{evaluation} {name} of {who}", weight)
            self.out.rows.append(row.model_copy(update={"key": key, "evaluation": evaluation, "dataset": name}))
            return key

        self.out.rows.append(row)
        return EvaluationPlanner(
            suite=self.suite,
            budget=self.budget,
            locations=self.locations,
            task=task,
            model=row.key,
            own=self._locate(task, task.splits.evaluation),
            reference=reference,
            add=add,
            skip=partial(self._skip, task),
            dataset_view=self._dataset_view,
            baseline=baseline,
            is_baseline=row.method == BASELINE,
        ).plan()

    def _skip(self, task: TaskSpec, evaluation: str, dataset: str, reason: str, *, replaced: bool = False) -> None:
        """Note what cannot be had here; ``replaced`` by something else, it is never worth an error."""
        self.out.skipped.append(Skipped(task=task.name, evaluation=evaluation, dataset=dataset, reason=reason))
        if self.strict and not replaced:
            self.missing.append(reason)

    def _add(self, spec: dict[str, Any], title: str, weight: float) -> str:
        spec = {"schema": RECORD_VERSION, **spec}
        spec = plain(spec)
        key = digest(spec)
        upstream = tuple(upstream_keys(spec))
        self.out.cells.setdefault(key, Cell(key, spec, upstream, title, weight))
        return key

    def _locate(self, task: TaskSpec, split: str) -> Located:
        located = locate(task.source, split, self.locations)
        if located.missing:
            self.missing.append(located.missing)
        return self._remember(located)

    def _remember(self, located: Located) -> Located:
        if located.path is not None and located.fingerprint.startswith("sha256:"):
            self.out.paths[located.fingerprint] = str(located.path.resolve())
        return located

    def _model_view(self, model: ModelSpec) -> dict[str, Any]:
        located = locate_model(model.source, self.locations)
        if located.missing:
            self.missing.append(f"{model.name}: {located.missing}")
        source = model.source.model_dump(mode="json", exclude_defaults=True)
        return {"source": source, "layers": model.layers, "fingerprint": located.fingerprint}

    def _random_view(self, model: ModelSpec) -> dict[str, Any]:
        """The same without weights; image networks get batch statistics."""
        view = self._model_view(model)
        return view if model.source.net is None else {**view, "statistics": "noise"}

    def _training_view(self, task: TaskSpec, train: Located) -> dict[str, Any]:
        """Of a task, what can change a training."""
        return {
            **task_view(task),
            "name": task.name,
            "selection": task.selection.model_dump(),
            "data": self._dataset_view(task.evaluation_dataset(), train),
        }

    def _dataset_view(self, dataset: DatasetSpec, located: Located) -> dict[str, Any]:
        self._remember(located)
        files = dataset.source.files is not None
        source = {} if files else dataset.source.model_dump(mode="json", exclude_defaults=True)
        return {
            "source": source,
            "split": located.split,
            "fingerprint": located.fingerprint,
            "columns": dataset.columns.model_dump(),
            "labels": dataset.labels,
            "label_map": [[raw, name] for raw, name in dataset.label_map.items()],
            "prediction_map": dataset.prediction_map,
        }

    def _budget_view(self, fields: set[str]) -> dict[str, Any]:
        return self.budget.model_dump(mode="json", include=_COMMON_FIELDS | fields)
