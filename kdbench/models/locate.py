"""Finding model files: local mirror, then packages, then the hub. Needs no torch and no network."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from kdbench.hashing import digest, file_digest
from kdbench.locations import Locations
from kdbench.models.spec import ModelSource

MODEL_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")


@dataclass(frozen=True)
class LocatedModel:
    """Initial weights, found or not; the fields mean the same as a located dataset's."""

    source: ModelSource
    fingerprint: str
    path: Path | None = None
    missing: str | None = None


def locate_model(source: ModelSource, locations: Locations) -> LocatedModel:
    """Find weights without loading them.

    A mirrored model is identified by the SHA-256 of its weights, a packaged one by its pinned
    checksum (verified when it is loaded), a hub model by its pinned commit.
    """
    if source.tiny is not None:
        return LocatedModel(source, f"tiny:{source.tiny.layers}x{source.tiny.hidden}:v1")
    if source.net is not None:
        return LocatedModel(source, f"net:{digest(source.net.model_dump())[:16]}:v1")
    if source.package is not None:
        return _locate_packaged(source, locations)
    for folder in locations.models:
        path = folder / str(source.hub)
        if (path / "config.json").is_file():
            weights = sorted(path.glob("*.safetensors"))
            if not weights:
                return LocatedModel(source, "", missing=f"{path}: holds no .safetensors (pickles are not read)")
            return LocatedModel(source, f"sha256:{_folder_digest(path)}", path)
    fingerprint = f"hub:{source.hub}@{source.revision}"
    reason = None
    if locations.offline:
        reason = f"{source.hub}: not in a model mirror (--models DIR), and offline"
    elif not locations.hub:
        reason = f"{source.hub}: not in a model mirror (--models DIR), and the hub does not answer"
    return LocatedModel(source, fingerprint, missing=reason)


def _folder_digest(folder: Path) -> str:
    """Of everything that makes the model: weights, configuration and tokenizer."""
    files = sorted(file for pattern in MODEL_FILES for file in folder.glob(pattern))
    return digest([[file.name, file_digest(file)] for file in files])


def _locate_packaged(source: ModelSource, locations: Locations) -> LocatedModel:
    fingerprint = f"sha256:{source.sha256}"
    for folder in locations.models:
        path = folder / "packages" / str(source.package)
        if (path / "model.safetensors").is_file():
            return LocatedModel(source, fingerprint, path)
    spec = importlib.util.find_spec(str(source.package))
    if spec is None or spec.origin is None:
        wanted = source.distribution or source.package
        return LocatedModel(source, "", missing=f"package {source.package} is missing: pip install '{wanted}'")
    return LocatedModel(source, fingerprint, Path(spec.origin).parent / source.path)
