"""One string that tells whether two attack results may be compared. Imports neither torch nor an attack library."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdbench.attacks import assets, nltk_data
from kdbench.attacks.encoder import find_encoder
from kdbench.attacks.fingerprints import files_fingerprint, folder_fingerprint, tree_fingerprint
from kdbench.attacks.spec import AttackSpec, Need
from kdbench.hashing import digest

_LIBRARIES = {"text": "textattack", "question": "textattack", "image": "torchattacks"}
_ABOUT = {"description", "cite"}  # words about an attack, not settings of it
_NO_FINGERPRINTS: Mapping[str, str] = {}


def attack_version(spec: AttackSpec, run: Mapping[str, Any], fingerprints: Mapping[str, str] = _NO_FINGERPRINTS) -> str:
    """A string that differs whenever anything differs that can change an outcome.

    Args:
        spec: the attack; its name, recipe, arguments, goal and members all count.
        run: settings of the run as plain data, such as query budget, perturbed column, seed and number of examples.
        fingerprints: of all assets, see :func:`asset_fingerprints`.

    Returns:
        ``<name>/<version>+<library>-<its version> <12 hex digits of a digest over everything>``.

    Raises:
        TypeError: ``run`` holds something that is not plain data.
    """
    library = _LIBRARIES[spec.kind]
    named = f"{spec.name}/{spec.version}+{library}-{importlib.metadata.version(library)}"
    settings = spec.model_dump(mode="json", exclude=_ABOUT)
    content = {"library": named, "attack": settings, "run": dict(run), "assets": dict(fingerprints)}
    return f"{named} {digest(content)[:12]}"


def asset_fingerprints(spec: AttackSpec, directories: Sequence[Path]) -> dict[str, str]:
    """What the attack reads, by content: ``{"counterfitted": "sha256:…", "model google-bert/…": "sha256:…", …}``.

    What is missing here, and what a plugin loads by itself, is left out. Every file is read once in a process.

    Args:
        spec: the attack.
        directories: asset folders, as for :func:`kdbench.attacks.assets.missing_assets`.
    """
    if spec.kind == "image":
        return {}
    fingerprint: dict[Need, Callable[[], str | None]] = {
        "wordnet": lambda: f"sha256:{nltk_data.WORDNET_SHA256}",
        "counterfitted": lambda: _of_vectors(assets.find_counterfitted(directories)),
        "neighbours": lambda: _of_files(assets.find_neighbours(directories)),
        "use": lambda: _of_files(assets.find_sentence_encoder(directories)),
        "encoder": lambda: _of_model(find_encoder(directories=directories)),
        "pos-tagger": lambda: (
            files_fingerprint(assets.find_tagger(directories)) if assets.find_tagger(directories) else None
        ),
        "textblob": _textblob,
        "hownet": lambda: _of_files(assets.find_hownet(directories)),
        "homoglyphs": lambda: _of_files(assets.find_homoglyphs(directories)),
    }
    found = {"stop-words": f"sha256:{nltk_data.STOP_WORDS_SHA256}"}
    found |= {need: value for need in spec.needs if need in fingerprint and (value := fingerprint[need]())}
    models = {model: assets.find_model(model, directories) for model in spec.models}
    found |= {f"model {model}": tree_fingerprint(folder) for model, folder in models.items() if folder}
    if any(model.startswith("sentence-transformers/") for model in spec.models):
        found["sentence-transformers"] = f"version:{importlib.metadata.version('sentence-transformers')}"
    return found


def _of_files(path: Path | None) -> str | None:
    if path is None:
        return None
    return files_fingerprint([path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()])


def _of_vectors(folder: Path | None) -> str | None:
    return None if folder is None else files_fingerprint([folder / name for name in assets.VECTOR_FILES])


def _of_model(folder: Path | None) -> str | None:
    return None if folder is None else folder_fingerprint(folder)


def _textblob() -> str | None:
    try:
        return f"version:{importlib.metadata.version('textblob')}"
    except importlib.metadata.PackageNotFoundError:
        return None
