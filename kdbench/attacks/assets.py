"""What an attack needs beside its code: naming what is missing, and preparing what is there.

Nothing here imports torch or TextAttack, and nothing here uses the network.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdbench.attacks import nltk_data
from kdbench.attacks.asset_sources import Download, asset_sources
from kdbench.attacks.encoder import find_encoder
from kdbench.attacks.spec import AttackSpec, Need
from kdbench.errors import AttackError

VECTOR_FILES = ("paragram.npy", "wordlist.pickle", "nn.npy")
_TAGGER_FILES = (
    "taggers/averaged_perceptron_tagger_eng/averaged_perceptron_tagger_eng.weights.json",
    "taggers/universal_tagset/en-ptb.map",
)


def cache_folder() -> Path:
    """Where prepared data is kept: ``$KDBENCH_CACHE``, or ``~/.cache/kdbench``. Not created here."""
    named = os.environ.get("KDBENCH_CACHE")
    folder = Path(named).expanduser() if named else Path.home() / ".cache" / "kdbench"
    return folder.absolute()  # recipes are built in another working directory


@dataclass(frozen=True)
class Asset:
    """One thing an attack needs beside its code.

    Attributes:
        title: what it is.
        found: where it is, or None.
        how: how to get it.
        downloads: what ``kdbench fetch`` downloads for it.
        model: its id on the Hugging Face hub, for a model.
    """

    title: str
    found: str | None
    how: str
    downloads: tuple[Download, ...] = ()
    model: str = ""


def assets_of(spec: AttackSpec, directories: Sequence[Path]) -> list[Asset]:
    """Everything ``spec`` needs, found or not.

    Args:
        spec: the attack.
        directories: asset folders, searched in order before the Hugging Face cache. ``gradients`` are a
            property of the victim and are not judged here.
    """
    sources = asset_sources()
    assets = []
    for need in spec.needs:
        if need in sources:
            source = sources[need]
            how = f"kdbench fetch, or {source.how}" if source.downloads else source.how
            assets.append(Asset(source.title, _place(need, directories), how, source.downloads))
    for model in spec.models:
        folder = find_model(model, directories)
        how = (
            f"kdbench fetch, or hf download {model} --local-dir FOLDER/{model}, with FOLDER an asset folder "
            "(the Hugging Face cache does too)"
        )
        assets.append(Asset(f"model {model}", None if folder is None else str(folder), how, model=model))
    return assets


def missing_assets(spec: AttackSpec, directories: Sequence[Path]) -> list[str]:
    """What ``spec`` needs and this machine lacks, each as "what it is: how to get it"; empty if all is there."""
    return [f"{asset.title}: {asset.how}" for asset in assets_of(spec, directories) if asset.found is None]


def _place(need: Need, directories: Sequence[Path]) -> str | None:
    find: dict[Need, Callable[[], Path | str | None]] = {
        "wordnet": lambda: nltk_data.wordnet_source() or _prepared_wordnet(),
        "counterfitted": lambda: find_counterfitted(directories),
        "neighbours": lambda: find_neighbours(directories),
        "use": lambda: find_sentence_encoder(directories) if importlib.util.find_spec("tensorflow_hub") else None,
        "encoder": lambda: find_encoder(directories=directories),
        "pos-tagger": lambda: next(iter(find_tagger(directories)), None),
        "textblob": lambda: _package("textblob"),
        "flair-tagger": lambda: _loaded_by_plugin("upos-fast"),
        "flair-entities": lambda: _loaded_by_plugin("ner"),
        "hownet": lambda: find_hownet(directories),
        "homoglyphs": lambda: find_homoglyphs(directories),
    }
    found = find[need]() if need in find else None
    return None if found is None else str(found)


def prepare(spec: AttackSpec, directories: Sequence[Path] = ()) -> None:
    """Make NLTK read the pinned stop words and WordNet, before any attack is built.

    Idempotent, and safe in several processes at once. The prepared folder comes first on
    ``nltk.data.path``; stop words or a WordNet that NLTK had loaded from elsewhere are dropped.

    Raises:
        AttackError: something the attack needs is missing (all of it is named), or the cache folder
            cannot be written.
    """
    missing = missing_assets(spec, directories)
    if missing:
        raise AttackError(f"attack '{spec.name}' cannot run here; missing:\n  - " + "\n  - ".join(missing))
    folder = nltk_folder()
    nltk_data.ensure(folder)

    import nltk

    taggers = [str(path.absolute()) for path in directories if (path / "taggers").is_dir()]
    first = [str(folder), *taggers]
    nltk.data.path[:] = [*first, *(path for path in nltk.data.path if path not in first)]
    for name in ("stopwords", "wordnet"):
        corpus = getattr(nltk.corpus, name)
        # A loader that has not loaded yet has no root in its __dict__; asking for it would load it.
        root = vars(corpus).get("_root")
        if root is not None and not str(root).startswith(str(folder)):
            corpus._unload()


def nltk_folder() -> Path:
    """The prepared NLTK data directory inside the cache."""
    return cache_folder() / f"nltk-{nltk_data.VERSION}"


def find_counterfitted(directories: Sequence[Path]) -> Path | None:
    """The folder with the counter-fitted vectors, under TextAttack's file names."""
    candidates = [directory / name for directory in directories for name in ("paragramcf", "counterfitted")]
    return next((path for path in candidates if all((path / name).is_file() for name in VECTOR_FILES)), None)


def find_sentence_encoder(directories: Sequence[Path]) -> Path | None:
    """The unpacked Universal Sentence Encoder."""
    candidates = [directory / "universal-sentence-encoder" for directory in directories]
    names = ("saved_model.pb", "tfhub_module.pb")
    return next((path for path in candidates if any((path / name).is_file() for name in names)), None)


def find_homoglyphs(directories: Sequence[Path]) -> Path | None:
    """The table of look-alike characters that TextAttack's wheel forgot."""
    candidates = [directory / "intentional_homoglyphs.txt" for directory in directories]
    return next((path for path in candidates if path.is_file()), None)


def find_neighbours(directories: Sequence[Path]) -> Path | None:
    """The published lists of counter-fitted neighbours."""
    candidates = [directory / "counterfitted_neighbors.parquet" for directory in directories]
    return next((path for path in candidates if path.is_file()), None)


def find_hownet(directories: Sequence[Path]) -> Path | None:
    """The substitutes that share a word's HowNet sememes, under TextAttack's file name."""
    candidates = [directory / "word_candidates_sense.pkl" for directory in directories]
    return next((path for path in candidates if path.is_file()), None)


def find_tagger(directories: Sequence[Path]) -> list[Path]:
    """The files of NLTK's part-of-speech tagger, in asset folders or where NLTK looks by itself; else none."""
    import nltk

    roots = [*directories, *(Path(path) for path in nltk.data.path)]
    found = [next((root / name for root in roots if (root / name).is_file()), None) for name in _TAGGER_FILES]
    return [path for path in found if path is not None] if all(found) else []


def find_model(hub_id: str, directories: Sequence[Path]) -> Path | None:
    """The folder of a hub model: ``<directory>/<hub id>``, ``<directory>/<name>`` or in the hub's cache.

    A folder without safetensors is passed over: pickles are not read.
    """
    name = hub_id.rpartition("/")[2]
    for directory in directories:
        for path in (directory / hub_id, directory / name):
            if _is_model(path):
                return path
    from huggingface_hub import try_to_load_from_cache

    for identifier in (hub_id, name):
        cached = try_to_load_from_cache(identifier, "config.json")
        if isinstance(cached, str) and _is_model(Path(cached).parent):
            return Path(cached).parent
    return None


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))


def _package(name: str) -> str | None:
    spec = importlib.util.find_spec(name)
    return None if spec is None else spec.origin


def _loaded_by_plugin(tagger: str) -> str | None:
    strings = sys.modules.get("textattack.shared.utils.strings")
    return "loaded by a plugin" if strings is not None and tagger in strings._flair_taggers else None


def _prepared_wordnet() -> Path | None:
    folder = nltk_folder() / "corpora" / "wordnet"
    return folder if folder.is_dir() else None
