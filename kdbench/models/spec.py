"""What a pair is: teacher, student, assistants and generator, by architecture and initial weights."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from kdbench.catalog import Catalog
from kdbench.schema import Spec
from kdbench.tasks.spec import Confined, Name


class TinyBert(Spec):
    """A randomly initialised BERT over characters: for offline self-tests, not for results."""

    layers: int = Field(2, ge=1)
    hidden: int = Field(32, ge=8)


class NetSpec(Spec):
    """A convolutional network for small images, randomly initialised: see :mod:`kdbench.models.convnet`."""

    family: Literal["resnet", "wrn", "vgg"]
    depth: int = Field(ge=8, description="layers: 6n+2 for resnet, 6n+4 for wrn, 8, 11 or 13 for vgg")
    width: int = Field(1, ge=1, description="factor of the stages' channels")
    base: int = Field(16, ge=4, description="channels of the first stage at width 1")
    shortcut: Literal["A", "B"] = Field("A", description="of a resnet where shapes change: A zeros, B 1x1 convolution")

    @model_validator(mode="after")
    def _depth_exists(self) -> NetSpec:
        fits = {"resnet": self.depth % 6 == 2, "wrn": self.depth % 6 == 4, "vgg": self.depth in (8, 11, 13)}
        if not fits[self.family]:
            raise ValueError(f"there is no {self.family} of {self.depth} layers: depth is {_DEPTHS[self.family]}")
        return self


_DEPTHS = {"resnet": "6n+2", "wrn": "6n+4", "vgg": "8, 11 or 13"}


class ModelSource(Spec):
    """Where a model comes from: exactly one of ``hub``, ``package``, ``tiny`` or ``net``."""

    hub: Confined | None = Field(None, description="Hugging Face model id")
    revision: str = Field("main", description="pinned hub commit")
    package: str | None = Field(None, description="importable package that ships the files")
    path: Confined = Field("", description="folder of the files inside the package")
    distribution: str = Field("", description="what to install when the package is missing")
    sha256: str = Field("", description="checksum of the packaged model.safetensors")
    tiny: TinyBert | None = None
    net: NetSpec | None = Field(None, description="an image network without pretrained weights")

    @model_validator(mode="after")
    def _exactly_one(self) -> ModelSource:
        given = [name for name in ("hub", "package", "tiny", "net") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of hub, package, tiny, net; has {', '.join(given) or 'none'}")
        if self.package and not self.sha256:
            raise ValueError("a packaged model needs its sha256")
        return self

    @property
    def title(self) -> str:
        """How messages name these weights."""
        return self.hub or self.package or (f"{self.net.family} of {self.net.depth} layers" if self.net else "tiny")

    @property
    def initialised(self) -> bool:
        """Whether there are no files: weights are drawn from the seed."""
        return self.tiny is not None or self.net is not None


class ModelSpec(Spec):
    """One model: weights, and which encoder layers of them are kept."""

    name: Name
    source: ModelSource
    layers: tuple[int, ...] | None = Field(None, description="encoder layers kept, in order; all when absent")
    fingerprint: str = Field("", description="of the weights a cell was planned with; filled in by plans")
    parameters: int = Field(0, ge=0, description="approximate size, for cost estimates before anything is loaded")

    @field_validator("layers")
    @classmethod
    def _distinct(cls, layers: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if layers is not None and len(set(layers)) < len(layers):
            raise ValueError(f"layers {list(layers)}: a layer can be kept once only")
        return layers


class PairSpec(Spec):
    """A teacher and a student that share one input format."""

    name: Name
    kind: Literal["text", "image"] = "text"
    description: str = ""
    cite: str = ""
    teacher: ModelSpec
    student: ModelSpec
    assistants: tuple[ModelSpec, ...] = Field((), description="from the largest to the smallest, for TAKD")
    generator: ModelSpec | None = Field(None, description="masked-LM generator for MATE-KD, same vocabulary")

    @model_validator(mode="after")
    def _of_one_kind(self) -> PairSpec:
        for model in self.models():
            if (model.source.net is not None) != (self.kind == "image"):
                raise ValueError(f"{model.name} is no model for a pair of kind {self.kind}: 'net' is for images")
            if model.source.net is not None and model.layers is not None:
                raise ValueError(f"{model.name}: layers of a net cannot be chosen, give it another depth")
        return self

    def models(self) -> tuple[ModelSpec, ...]:
        """Every model the pair names."""
        generator = (self.generator,) if self.generator else ()
        return (self.teacher, self.student, *self.assistants, *generator)


PAIRS = Catalog("pair", Path(__file__).parent / "catalog", PairSpec)
