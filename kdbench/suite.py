"""Suites: tasks × pairs × evaluations × budget × seeds, read from YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from kdbench.attacks.spec import ATTACKS, AttackSpec
from kdbench.budget import Budget
from kdbench.corruptions import CORRUPTIONS
from kdbench.errors import SuiteError, UnknownNameError
from kdbench.models.spec import PAIRS, ModelSource, PairSpec
from kdbench.schema import Spec, load_yaml
from kdbench.tasks.spec import TASKS, Name, TaskSpec


class AttackSettings(Spec):
    """How students are attacked: the same examples, seed and query budget for every one."""

    attacks: tuple[str | AttackSpec, ...] = Field(min_length=1, description="names, or attacks defined in place")
    examples: int = Field(200, ge=1, description="examples sampled by content hash")
    query_budget: int = Field(500, ge=1, description="model queries an example may cost")
    seed: int = Field(0, description="of the sample and of the attacks")
    perturb: str = Field("second", pattern="^(first|second)$", description="which text of a pair is perturbed")


class QualitySettings(Spec):
    """How far the texts of successful attacks are from their originals: words, sentence similarity, perplexity."""

    language_model: ModelSource | None = Field(None, description="hub model or package that perplexity is measured by")
    likelihood: Literal["causal", "masked"] = Field("causal", description="how it reads: from the left, or by masking")

    @field_validator("language_model")
    @classmethod
    def _trained(cls, source: ModelSource | None) -> ModelSource | None:
        if source is not None and source.initialised:
            raise ValueError("a language model has trained weights: name a hub model or a package")
        return source


class CorruptionSettings(Spec):
    """Which common corruptions of images are looked at (Hendrycks & Dietterich, ICLR 2019)."""

    corruptions: tuple[str, ...] = Field(CORRUPTIONS, min_length=1)
    severities: tuple[int, ...] = Field((1, 2, 3, 4, 5), min_length=1)

    @field_validator("corruptions")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in CORRUPTIONS:
                raise ValueError(str(UnknownNameError("corruption", name, CORRUPTIONS)))
        return names

    @field_validator("severities")
    @classmethod
    def _in_range(cls, severities: tuple[int, ...]) -> tuple[int, ...]:
        if not all(1 <= severity <= 5 for severity in severities):
            raise ValueError("severities go from 1 to 5")
        return severities


class CalibrationSettings(Spec):
    """How calibration is measured."""

    bins: int = Field(15, ge=2, description="equal-width confidence bins of the expected calibration error")


class EfficiencySettings(Spec):
    """The shape of the batch that size and speed are measured on."""

    batch_size: int = Field(8, ge=1)
    tokens: int = Field(32, ge=4, description="length of every sequence in the batch")


class Evaluations(Spec):
    """What is measured on every trained model; a missing block is not measured."""

    in_domain: bool = True
    ood: bool = True
    attack: AttackSettings | None = None
    transfer: bool = Field(
        False, description="replay on every student what the attacks found on the teacher and on the finetune student"
    )
    quality: QualitySettings | None = Field(QualitySettings(), description="of successful attacks on texts")
    corruption: CorruptionSettings | None = Field(None, description="of images")
    trajectory: bool = Field(False, description="score every checkpoint of the teacher on the reported split")
    fidelity: bool = True
    calibration: CalibrationSettings | None = CalibrationSettings()
    efficiency: EfficiencySettings | None = EfficiencySettings()

    @model_validator(mode="after")
    def _upstream(self) -> Evaluations:
        if not self.in_domain and (self.fidelity or self.calibration):
            raise ValueError("fidelity and calibration are computed from in_domain: switch that on")
        if self.transfer and self.attack is None:
            raise ValueError("transfer replays attacks: name them under attack")
        return self


class MethodEntry(Spec):
    """A method under a name of its own, with settings that differ from its defaults."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")
    method: str
    config: dict[str, Any] = Field(default_factory=dict)
    every_checkpoint: bool = Field(
        False, description="one method, NAME-0, NAME-1, …, for each checkpoint of the teacher, as setting 'checkpoint'"
    )

    @field_validator("name")
    @classmethod
    def _not_the_teacher(cls, name: str) -> str:
        if name == "teacher":
            raise ValueError("'teacher' is the teacher's own row in every table: choose another name")
        return name


class SuiteFile(Spec):
    """A suite as written; names still point into the catalogs."""

    name: Name
    version: int = Field(1, ge=1)
    description: str = ""
    study: Literal["", "checkpoint-search", "capacity-gap"] = Field("", description="the study that reports draw")
    tasks: tuple[str | TaskSpec, ...] = Field(min_length=1)
    pairs: tuple[str | PairSpec, ...] = Field(min_length=1)
    methods: tuple[str | MethodEntry, ...] = Field(min_length=1, description="the default of --methods")
    controls: tuple[str, ...] = Field(("finetune",), description="methods that every run carries")
    seeds: tuple[int, ...] = Field((1, 2, 3), min_length=1)
    teacher_seed: int = 0
    budget: str = Field("matched", description="the default of --budget")
    budgets: dict[str, Budget] = Field(min_length=1)
    evaluations: Evaluations = Evaluations()

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is named twice")
        return seeds

    @model_validator(mode="after")
    def _default_budget(self) -> SuiteFile:
        if self.budget not in self.budgets:
            raise ValueError(f"budget '{self.budget}' is not one of budgets: {', '.join(self.budgets)}")
        return self


class Suite(Spec):
    """A suite with every name resolved to its definition."""

    name: str
    version: int
    description: str
    study: str
    tasks: dict[str, TaskSpec]
    pairs: dict[str, PairSpec]
    methods: dict[str, MethodEntry]
    controls: tuple[str, ...]
    seeds: tuple[int, ...]
    teacher_seed: int
    budget: str
    budgets: dict[str, Budget]
    evaluations: Evaluations
    attacks: dict[str, AttackSpec]


def suites_folder() -> Path:
    """The folder of the suites that come with kdbench: packaged, or the checkout's own."""
    packaged = Path(__file__).parent / "_suites"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "suites"


def suite_names() -> list[str]:
    """Names of the suites that come with kdbench."""
    return sorted(path.stem for path in suites_folder().glob("*.yaml"))


def load_suite(name_or_path: str) -> Suite:
    """Load a suite by name, or from a YAML file when the argument looks like a path.

    Raises:
        UnknownNameError: no such suite, with suggestions.
        SuiteError: the file, or a definition it names, is not valid.
    """
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        path = Path(name_or_path)
        if not path.is_file():
            raise SuiteError(f"{path}: no such suite file")
    elif name_or_path in suite_names():
        path = suites_folder() / f"{name_or_path}.yaml"
    else:
        raise UnknownNameError("suite", name_or_path, suite_names())
    return _resolve(load_yaml(path, SuiteFile), path)


def _resolve(file: SuiteFile, path: Path) -> Suite:
    attacks = file.evaluations.attack.attacks if file.evaluations.attack else ()
    try:
        tasks = [TASKS.get(item) if isinstance(item, str) else item for item in file.tasks]
        pairs = [PAIRS.get(item) if isinstance(item, str) else item for item in file.pairs]
        specs = [ATTACKS.get(item) if isinstance(item, str) else item for item in attacks]
    except UnknownNameError as error:
        raise SuiteError(f"{path}: {error}") from error
    for spec in specs:
        if spec.goal != "untargeted":
            raise SuiteError(
                f"{path}: attack {spec.name} seeks the same prediction from fewer words, which is no accuracy: "
                f"kdbench attack --attack {spec.name} runs it"
            )
    entries = [MethodEntry(name=m, method=m) if isinstance(m, str) else m for m in file.methods]
    for title, budget in file.budgets.items():
        meant = (("task", budget.tasks, tasks), ("pair", budget.pairs, pairs), ("attack", budget.attacks, specs))
        for kind, wanted, known in meant:
            for name in wanted:
                if name not in [definition.name for definition in known]:
                    raise SuiteError(f"{path}: budget {title} is meant for {kind} '{name}', which the suite has not")
    for kind, names in (
        ("task", [task.name for task in tasks]),
        ("pair", [pair.name for pair in pairs]),
        ("method", [entry.name for entry in entries]),
        ("attack", [spec.name for spec in specs]),
    ):
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise SuiteError(f"{path}: {kind} {', '.join(sorted(twice))} is named twice")
    return Suite(
        **{name: getattr(file, name) for name in ("name", "version", "description", "study", "controls", "seeds")},
        **{name: getattr(file, name) for name in ("teacher_seed", "budget", "budgets", "evaluations")},
        tasks={task.name: task for task in tasks},
        pairs={pair.name: pair for pair in pairs},
        methods={entry.name: entry for entry in entries},
        attacks={spec.name: spec for spec in specs},
    )
