"""Sentence embeddings: those of sentence-transformers, whatever else is in the batch."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from kdbench.attacks.encoder import HUB_ID, find_encoder, load_encoder
from kdbench.attacks.fingerprints import folder_fingerprint
from kdbench.errors import AttackError

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("textattack")]

TEXTS = [
    "a great film",
    "",
    "a great film",
    "The film is long, and dull to its end!",
    *(f"word {n} " * n for n in (2, 90)),
]


@pytest.fixture(scope="module")
def encoder():
    folder = find_encoder()
    assert folder is not None
    return load_encoder(folder)


def test_embeddings_are_those_of_sentence_transformers(encoder):
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(find_encoder()), device="cpu").encode(TEXTS)
    found = encoder.embed(TEXTS)
    assert found.dtype == np.float32 and found.shape == (6, 384)
    np.testing.assert_allclose(found, reference, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_order_and_company_of_texts_change_nothing_but_rounding(encoder):
    together = encoder.embed(TEXTS * 20)
    alone = np.concatenate([encoder.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(together, np.tile(alone, (20, 1)), atol=2e-6)
    assert encoder.embed([]).shape == (0, 384)


def test_mirrors_come_before_the_package(tmp_path):
    package = find_encoder()
    for folders in ({"locations_models": [tmp_path]}, {"directories": [tmp_path]}):
        assert find_encoder(**folders) == package
    copy = tmp_path / HUB_ID
    shutil.copytree(package, copy)
    for folders in ({"locations_models": [tmp_path]}, {"directories": [tmp_path]}):
        assert find_encoder(**folders) == copy
    assert folder_fingerprint(copy) == folder_fingerprint(package)
    (copy / "tokenizer_config.json").write_text("{}")
    assert folder_fingerprint(copy) != folder_fingerprint(package), "another tokenizer is another encoder"


def test_a_folder_without_an_encoder_is_named(tmp_path):
    with pytest.raises(AttackError, match=f"{tmp_path}: no sentence encoder can be loaded"):
        load_encoder(tmp_path)
