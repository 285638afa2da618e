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


class ModelSource(Spec):
    """Where initial weights come from: exactly one of ``hub``, ``package`` or ``tiny``."""

    hub: Confined | None = Field(None, description="Hugging Face model id")
    revision: str = Field("main", description="pinned hub commit")
    package: str | None = Field(None, description="importable package that ships the files")
    path: Confined = Field("", description="folder of the files inside the package")
    distribution: str = Field("", description="what to install when the package is missing")
    sha256: str = Field("", description="checksum of the packaged model.safetensors")
    tiny: TinyBert | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> ModelSource:
        given = [name for name in ("hub", "package", "tiny") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of hub, package, tiny; has {', '.join(given) or 'none'}")
        if self.package and not self.sha256:
            raise ValueError("a packaged model needs its sha256")
        return self

    @property
    def title(self) -> str:
        """How messages name these weights."""
        return self.hub or self.package or "tiny"


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
    kind: Literal["text"] = "text"
    description: str = ""
    cite: str = ""
    teacher: ModelSpec
    student: ModelSpec
    assistants: tuple[ModelSpec, ...] = Field((), description="from the largest to the smallest, for TAKD")
    generator: ModelSpec | None = Field(None, description="masked-LM generator for MATE-KD, same vocabulary")

    def models(self) -> tuple[ModelSpec, ...]:
        """Every model the pair names."""
        generator = (self.generator,) if self.generator else ()
        return (self.teacher, self.student, *self.assistants, *generator)


PAIRS = Catalog("pair", Path(__file__).parent / "catalog", PairSpec)
