"""Catalogs: folders of YAML files, one definition a file, found by name."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from kdbench.errors import UnknownNameError
from kdbench.schema import load_yaml

SpecT = TypeVar("SpecT", bound=BaseModel)


class Catalog(Generic[SpecT]):
    """The definitions of one kind; a file ``<name>.yaml`` is all it takes to add one."""

    def __init__(self, kind: str, folder: Path, model: type[SpecT]) -> None:
        self.kind = kind
        self.folder = folder
        self.model = model

    def names(self) -> list[str]:
        """All names, sorted; no file is opened."""
        return sorted(path.stem for path in self.folder.glob("*.yaml"))

    def get(self, name: str) -> SpecT:
        """Load one definition.

        Raises:
            UnknownNameError: with suggestions.
            SuiteError: when the file is not valid.
        """
        if name not in self.names():
            raise UnknownNameError(self.kind, name, self.names())
        return load_yaml(self.folder / f"{name}.yaml", self.model)
