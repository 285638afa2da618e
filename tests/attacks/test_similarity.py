"""The similarity constraint: decisions of TextAttack's, independent of batches, made once for all victims."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kdbench.attacks import _library, assets
from kdbench.attacks.encoder import find_encoder, load_encoder
from kdbench.attacks.memo import Memo
from kdbench.attacks.spec import ATTACKS

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("textattack")]

LONG = (
    "The film begins slowly , but its honest actors and the fine script make every single minute of the second "
    "half a delight for viewers ."
)
SHORT = "a fine and funny film"
WORDS = ["movie", "awful", "great", "banana"]


@pytest.fixture(scope="module")
def similarity():
    """The module under test, once TextAttack may be imported."""
    assets.prepare(ATTACKS.get("pruthi"))
    with _library.session():
        from kdbench.attacks.recipes import similarity

        yield similarity


class Counting:
    """An encoder that counts its texts."""

    device = "cpu"

    def __init__(self):
        self.inner = load_encoder(find_encoder())
        self.fingerprint = self.inner.fingerprint
        self.texts = 0

    def embed(self, texts):
        self.texts += len(texts)
        return self.inner.embed(texts)


def changed(text):
    """Each word replaced by each of ``WORDS``, as a transformation leaves it."""
    from textattack.transformations import WordSwapQWERTY

    swap = WordSwapQWERTY()
    found = [text.replace_word_at_index(index, word) for index in range(text.num_words) for word in WORDS]
    for each in found:
        each.attack_attrs["last_transformation"] = swap
    return found


@pytest.mark.parametrize("text", [LONG, SHORT])
@pytest.mark.parametrize(
    "settings",
    [
        {"threshold": 0.840845057, "metric": "angular", "window_size": 15, "skip_text_shorter_than_window": True},
        {"threshold": 0.9, "metric": "cosine", "window_size": 5},
        {"threshold": 0.85, "metric": "angular", "window_size": None},
    ],
    ids=["textfooler", "window", "whole"],
)
def test_the_same_texts_are_kept_as_by_textattack(similarity, text, settings):
    """And ranked alike: greedy searches prefer the most similar success."""
    from textattack.constraints.semantics.sentence_encoders import SentenceEncoder
    from textattack.shared import AttackedText

    encoder = Counting()

    class Reference(SentenceEncoder):
        def encode(self, sentences):
            return encoder.inner.embed(sentences)

    original = AttackedText(text)
    constraint = similarity.SentenceSimilarity(encoder, Memo(), **settings)
    candidates = changed(original)
    kept = constraint.call_many(candidates, original)
    scores = np.array([each.attack_attrs["similarity_score"] for each in candidates])
    again = changed(original)
    reference = Reference(**settings).call_many(again, original)
    expected = np.array([each.attack_attrs["similarity_score"] for each in again])
    assert [each.text for each in kept] == [each.text for each in reference]
    skipped = settings.get("skip_text_shorter_than_window") and text == SHORT
    assert len(kept) == len(candidates) if skipped else 0 < len(kept) < len(candidates)
    if settings["metric"] == "angular" and not skipped:
        expected = np.cos(math.pi * (1 - expected))
    np.testing.assert_allclose(scores, expected, atol=1.1e-3)
    assert [constraint(each, original) for each in candidates] == [each in kept for each in candidates]


def test_a_second_victim_asks_nothing_again(similarity, tmp_path):
    """Neither in the same process nor in another that shares the folder; other thresholds do not mix."""
    from textattack.shared import AttackedText

    original, encoder, memo = AttackedText(LONG), Counting(), Memo(tmp_path)

    def kept(threshold, memo):
        before = encoder.texts
        constraint = similarity.SentenceSimilarity(encoder, memo, threshold=threshold, window_size=15)
        return [each.text for each in constraint.call_many(changed(original), original)], encoder.texts - before

    first, asked = kept(0.9, memo)
    assert asked > 90 and kept(0.9, memo) == (first, 0)
    memo.save()
    assert kept(0.9, Memo(tmp_path)) == (first, 0)
    assert kept(0.7, Memo(tmp_path))[1] == asked


@pytest.mark.parametrize("threshold", [0.3, 0.8776])
def test_steps_do_not_depend_on_the_batch(similarity, threshold):
    """Even where a batch moves similarities by 1e-6: next to a step's edge both texts are encoded alone."""
    random = np.random.default_rng(0)
    cosines = threshold + np.concatenate([random.uniform(-0.2, 0.1, 300), np.arange(-20, 20) * 1e-3])
    angles = dict(zip(map(str, range(len(cosines))), np.arccos(cosines), strict=True)) | {"": 0.0}

    def embed(texts):
        moved = np.array([angles[text] for text in texts]) + 1e-6 * (len(texts) % 7)
        if len(texts) == 1:
            moved = np.array([angles[texts[0]]])
        return np.stack([np.cos(moved), np.sin(moved)], axis=1)

    pairs = [("", name) for name in angles if name]
    whole = similarity.steps_above(pairs, threshold, embed, {})
    known: dict[bytes, bytes] = {}
    parts = [step for pair in pairs for step in similarity.steps_above([pair, *pairs[:3]], threshold, embed, known)[:1]]
    assert parts == whole
    assert whole[:300] == [math.floor((cosine - threshold) / 1e-3) for cosine in cosines[:300]]
