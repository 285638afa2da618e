"""Where assets come from, read from ``asset_sources.yaml``."""

from __future__ import annotations

import functools
from pathlib import Path

from pydantic import Field, RootModel, model_validator

from kdbench.attacks.spec import Need
from kdbench.schema import Spec, load_yaml
from kdbench.tasks.spec import Confined


class Download(Spec):
    """One file of the web."""

    url: str = Field(pattern="^https?://")
    into: Confined = Field("", description="folder, inside an asset folder, where an archive is unpacked")
    holds: tuple[Confined, ...] = Field(min_length=1, description="files that are there afterwards, in an asset folder")
    unpack: bool = Field(False, description="whether it is a zip archive; otherwise it becomes the one file of 'holds'")
    sha256: str = Field("", pattern="^([0-9a-f]{64})?$", description="of what is downloaded, where it is known")

    @model_validator(mode="after")
    def _in_folders(self) -> Download:
        if self.unpack and any(Path(name).parent == Path() for name in self.holds):
            raise ValueError("'holds' of an archive must name a folder of each file: that is what is taken out of it")
        return self


class AssetSource(Spec):
    """What an asset is, how a person gets it, and what can be downloaded for them."""

    title: str
    how: str
    downloads: tuple[Download, ...] = ()


class _Sources(RootModel[dict[Need, AssetSource]]):
    """All of them."""


@functools.cache
def asset_sources() -> dict[Need, AssetSource]:
    """The source of every need but gradients, which are a property of the victim."""
    return load_yaml(Path(__file__).with_suffix(".yaml"), _Sources).root
