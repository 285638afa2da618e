"""TextAttack made to behave: imported without side effects, its recipes built from local files only."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import logging
import logging.config
import os
import pickle
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError

from kdbench.attacks import assets
from kdbench.attacks.spec import AttackSpec
from kdbench.attacks.version import asset_fingerprints
from kdbench.errors import AttackError
from kdbench.hashing import digest

# What TextAttack's import overwrites for the whole process; HF_HOME would hide the user's model cache.
_VARIABLES = (
    "TA_CACHE_DIR",
    "TFHUB_CACHE_DIR",
    "PYTORCH_TRANSFORMERS_CACHE",
    "HF_HOME",
    "XDG_CACHE_HOME",
    "TOKENIZERS_PARALLELISM",
    "WANDB_SILENT",
)
# Longer strings are whole texts, nearly all different: keeping them would cost memory and never hit.
_MEMO_CHARACTERS = 48
# What reading a damaged asset raises; pyarrow's and JSON's errors are ValueErrors.
_BAD_ASSET = (OSError, ValueError, LookupError, EOFError, ImportError, pickle.UnpicklingError, SafetensorError)


@contextlib.contextmanager
def session() -> Iterator[None]:
    """TextAttack ready for use: imported, silent, off the network, and with its slowest helper memoised.

    Changes module attributes of the process while it is open, and puts them back: one at a time. To be
    entered after :func:`kdbench.attacks.assets.prepare`.
    """
    import nltk

    with _attribute(nltk, "download", lambda *args, **kwargs: True):
        _import_textattack()
        from textattack.shared import attacked_text, utils

        # More than half of the library's own time is spent splitting the same few words again and again.
        with _attribute(attacked_text, "words_from_text", _memoised(utils.words_from_text)):
            yield


def build(spec: AttackSpec, wrapper: Any, directories: Sequence[Path]) -> Any:
    """The ``textattack.Attack`` of ``spec`` around a model wrapper, from local files alone.

    The wrapper is given the folders as its ``directories``: recipes of kdbench find their assets by them.

    Raises:
        AttackError: the recipe cannot be found or built, an asset is damaged, or the goal is another one than that of
            ``spec`` or the wrapper.
    """
    directories = tuple(path.absolute() for path in directories)  # some recipes are built in another working directory
    wrapper.directories = directories
    module, _, attribute = spec.recipe.partition(":")
    try:
        recipe = getattr(importlib.import_module(module), attribute).build
        inspect.signature(recipe).bind(wrapper, **spec.arguments)
    except (ImportError, AttributeError, TypeError) as error:
        raise AttackError(f"attack '{spec.name}': recipe {spec.recipe} cannot be built: {error}") from error
    try:
        with _local_files(spec, directories), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TextAttack's own calls
            attack = recipe(wrapper, **spec.arguments)
        if "use" in spec.needs:
            _load_sentence_encoder(attack, directories)
    except _BAD_ASSET as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise AttackError(f"attack '{spec.name}' cannot be built: {reason}") from error
    _check_goal(spec, wrapper, attack)
    if spec.models:
        from kdbench.attacks.recipes import masked_lm

        masked_lm.share(attack.transformation, wrapper.memo, digest(asset_fingerprints(spec, directories)))
    return attack


def _check_goal(spec: AttackSpec, wrapper: Any, attack: Any) -> None:
    from textattack.goal_functions import InputReduction

    wanted = InputReduction if spec.goal == "reduction" else wrapper.goal
    if not isinstance(attack.goal_function, wanted):
        goal = type(attack.goal_function).__name__
        raise AttackError(f"attack '{spec.name}': its goal is {goal}; only {wanted.__name__} can be scored")


def _import_textattack() -> None:
    if "textattack" in sys.modules:
        return
    # Imported first because they read the variables below once and for all.
    for name in ("datasets", "huggingface_hub", "transformers"):
        importlib.import_module(name)
    folder = assets.cache_folder() / "textattack"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # With this file TextAttack believes its first-import downloads are done.
        (folder / "post_install_check_3").touch()
    except OSError as error:
        raise AttackError(f"{folder}: cannot be written; set KDBENCH_CACHE to a writable folder") from error
    kept = {name: os.environ.get(name) for name in _VARIABLES}
    try:
        os.environ["TA_CACHE_DIR"] = str(folder)
        # Its dictConfig calls, and flair's, disable every logger there is and close their handlers.
        with warnings.catch_warnings(), _attribute(logging.config, "dictConfig", lambda config: None):
            warnings.simplefilter("ignore")
            import textattack
    except ImportError as error:
        raise AttackError(
            f"TextAttack cannot be imported ({error}); reinstall kdbench with its constraints file"
        ) from error
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    textattack.shared.utils.logger.handlers.clear()
    for name in (textattack.shared.utils.logger.name, "flair", "jieba"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def _local_files(spec: AttackSpec, directories: Sequence[Path]) -> Iterator[None]:
    """Let the recipe find by its usual names what lies in the asset folders."""
    with contextlib.ExitStack() as stack:
        if "counterfitted" in spec.needs:
            _load_counterfitted(directories)
        if "homoglyphs" in spec.needs:
            from textattack.transformations.word_swaps import word_swap_homoglyph_swap

            # The recipe opens this one file, at a path inside the package where the wheel has none.
            opener = functools.partial(_open_instead, assets.find_homoglyphs(directories))
            stack.enter_context(_attribute(word_swap_homoglyph_swap, "open", opener))
        if "hownet" in spec.needs:
            from textattack.transformations.word_swaps import word_swap_hownet

            found = str(assets.find_hownet(directories))
            reader = types.SimpleNamespace(load=lambda stream: _PlainUnpickler(stream).load())
            stack.enter_context(_attribute(word_swap_hownet.utils, "download_from_s3", lambda name: found))
            stack.enter_context(_attribute(word_swap_hownet, "pickle", reader))
        if spec.models:
            # A folder of that name in the working directory goes before the hub: no download, no look-up.
            links = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for hub_id in spec.models:
                folder = assets.find_model(hub_id, directories)
                if folder is not None:
                    (links / hub_id.rpartition("/")[2]).symlink_to(folder.resolve(), target_is_directory=True)
            stack.enter_context(contextlib.chdir(links))
        yield


class _PlainUnpickler(pickle.Unpickler):
    """Reads containers of plain values; anything that would need code to load is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise AttackError(f"a word list asks for {module}.{name}; only plain dicts of words are read")


def _open_instead(actual: Path | None, asked: str, mode: str, encoding: str) -> IO[Any]:
    return (actual or Path(asked)).open(mode, encoding=encoding)


def _load_counterfitted(directories: Sequence[Path]) -> None:
    import numpy as np
    from textattack.shared import WordEmbedding, utils

    folder = assets.find_counterfitted(directories)
    if folder is None:
        return
    vectors = np.load(folder / "paragram.npy", allow_pickle=False)
    neighbours = np.load(folder / "nn.npy", allow_pickle=False)
    with (folder / "wordlist.pickle").open("rb") as stream:
        index = _PlainUnpickler(stream).load()
    words = {position: word for word, position in index.items()}
    # The recipe takes this object instead of downloading. Its two pickled distance files are only caches.
    key = "textattack_counterfitted_GLOVE_embedding"
    utils.GLOBAL_OBJECTS[key] = WordEmbedding(vectors, index, words, neighbours)


def _load_sentence_encoder(attack: Any, directories: Sequence[Path]) -> None:
    from textattack.constraints.semantics.sentence_encoders import UniversalSentenceEncoder

    hub = importlib.import_module("tensorflow_hub")
    encoder = hub.load(str(assets.find_sentence_encoder(directories)))
    for constraint in attack.constraints:
        if isinstance(constraint, UniversalSentenceEncoder):
            constraint.model = encoder


def _memoised(function: Callable[..., list[str]]) -> Callable[..., list[str]]:
    remembered = functools.lru_cache(maxsize=2**16)(lambda text: tuple(function(text)))

    def words_from_text(text: str) -> list[str]:
        return list(remembered(text)) if len(text) <= _MEMO_CHARACTERS else function(text)

    return words_from_text


@contextlib.contextmanager
def _attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """``owner.name = value`` for a while."""
    absent = object()
    before = vars(owner).get(name, absent)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is absent:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
