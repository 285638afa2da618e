"""The recipes that need downloads, built and run from asset folders.

The assets are small stand-ins in the real file formats: vectors, a tagger trained here, language models with
random weights. TensorFlow is not installed, so a package of its name returns a bag-of-words encoder. What is
tested is that each stock recipe finds every asset by itself, offline, and attacks.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from kdbench.attacks import _library, assets
from kdbench.attacks.spec import ATTACKS
from kdbench.attacks.text import TextExample, attack_texts
from kdbench.errors import AttackError

# One worker for all of these tests, so that TextAttack is imported once.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("textattack")]

SYNONYMS = [
    ["great", "fine", "superb", "wonderful", "nice"],
    ["film", "movie", "picture", "story", "drama"],
    ["funny", "witty", "comical", "smart", "silly"],
    ["cast", "crew", "band", "team", "group"],
]
FILLER = ["a", "the", "and", "with", "of", "it", "is", "very", "bad", "worst", "dull", "script", "acting"]
WORDS = [word for group in SYNONYMS for word in group] + FILLER
EXAMPLES = [
    TextExample("film", "a great and funny film with a fine cast", None, 1),
    TextExample("cast", "the worst cast and a dull script", None, 0),
]


class GradientBag:
    """The bag-of-words victim with the gradients of its linear layer."""

    def __init__(self, bag):
        self.inner = bag.BagOfWords()
        self.num_labels = 2
        self.gradients = 0

    def logits(self, texts, pairs):
        return self.inner.logits(texts, pairs)

    def gradient(self, text, pair, column):
        self.gradients += 1
        tokens = self.inner.vectorizer.build_analyzer()(text if column == "text" else pair)
        weights = dict(zip(self.inner.vectorizer.get_feature_names_out(), self.inner.model.coef_[0], strict=True))
        return tokens, np.array([[weights.get(token, 0.0)] for token in tokens])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An asset folder with every asset there is."""
    folder = tmp_path_factory.mktemp("assets")
    (folder / "intentional_homoglyphs.txt").write_text(
        "\ufeff# table\n0061 ;\t0430 ;\t#* ( a ~ а ) LATIN SMALL LETTER A\n", encoding="utf-8"
    )
    _write_vectors(folder / "paragramcf")
    _write_tagger(folder / "taggers")
    _write_masked_model(folder / "google-bert" / "bert-base-uncased", "bert")
    _write_masked_model(folder / "distilroberta-base", "roberta")
    _write_sentence_model(folder / "sentence-transformers" / "stsb-distilbert-base")
    (folder / "universal-sentence-encoder").mkdir()
    (folder / "universal-sentence-encoder" / "saved_model.pb").touch()
    return folder


@pytest.fixture
def tensorflow_hub(tmp_path, monkeypatch) -> Iterator[None]:
    (tmp_path / "tensorflow_hub.py").write_text(
        "import torch, zlib\n"
        "def load(folder):\n"
        "    assert folder.endswith('universal-sentence-encoder'), folder\n"
        "    def encode(sentences):\n"
        "        vectors = torch.full((len(sentences), 64), 0.5)\n"
        "        for vector, sentence in zip(vectors, sentences):\n"
        "            for word in sentence.split(): vector[zlib.crc32(word.encode()) % 64] += 0.1\n"
        "        return vectors\n"
        "    return encode\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("tensorflow_hub", None)


@pytest.fixture
def flair_tagger(monkeypatch) -> None:
    """What flair's tagger would be asked: a universal tag for each token."""
    assets.prepare(ATTACKS.get("deepwordbug"))
    with _library.session():
        from textattack.shared.utils import strings

    class Tagger:
        def predict(self, sentence, force_token_predictions):
            for token in sentence:
                token.add_label("upos", "DET" if token.text in {"a", "the"} else "NOUN")

    monkeypatch.setitem(strings._flair_taggers, "upos-fast", Tagger())


@pytest.fixture
def no_network(monkeypatch) -> None:
    def refuse(*_args, **_kwargs):
        raise AssertionError("the network was used")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", ["textfooler", "bae", "bert-attack", "clare", "a2t", "textbugger"])
def test_the_stock_recipe_runs_from_the_folder(
    bag, folder, tensorflow_hub, flair_tagger, no_network, monkeypatch, name
):
    spec = ATTACKS.get(name)
    assert assets.missing_assets(spec, [folder]) == []
    monkeypatch.chdir(folder.parent)
    folder = Path(folder.name)  # relative, though models are looked for in another working directory
    victim = GradientBag(bag)

    def run():
        return attack_texts(victim, EXAMPLES, spec, perturb="text", query_budget=300, seed=0, directories=[folder])

    found = run()
    assert (Path.cwd() / folder).is_dir()
    assert [outcome.predicted for outcome in found] == [1, 0]
    assert all(1 < outcome.queries <= 300 for outcome in found)
    assert any(outcome.perturbed != outcome.original for outcome in found)
    for outcome in found:
        assert victim.inner.predict(outcome.perturbed) == outcome.adversarial
    assert (victim.gradients > 0) == (name == "a2t")
    assert run() == found
    if name in {"textfooler", "a2t"}:
        for outcome in found:
            for old, new in zip(outcome.original.split(), outcome.perturbed.split(), strict=True):
                assert old == new or any(old in group and new in group for group in SYNONYMS)


def test_without_tensorflow_the_reason_is_said(folder):
    with pytest.raises(AttackError, match="it needs TensorFlow"):
        assets.prepare(ATTACKS.get("textfooler"), [folder])


def test_a_word_list_that_would_run_code_is_refused(tmp_path):
    _write_vectors(tmp_path / "paragramcf")

    class Harmful:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harm"),))

    (tmp_path / "paragramcf" / "wordlist.pickle").write_bytes(pickle.dumps(Harmful()))
    assets.prepare(ATTACKS.get("deepwordbug"))
    with _library.session(), pytest.raises(AttackError, match="only a plain dict of words is read"):
        _library._load_counterfitted([tmp_path])
    assert not (tmp_path / "harm").exists()


def _write_vectors(target: Path) -> None:
    """Synonyms share a direction; TextAttack's file names and types."""
    target.mkdir()
    random = np.random.default_rng(0)
    groups = [next((i for i, group in enumerate(SYNONYMS) if word in group), None) for word in WORDS]
    centres = random.normal(size=(len(SYNONYMS), 16)) * 4
    vectors = np.array(
        [random.normal(size=16) + (0 if group is None else centres[group]) for group in groups],
        dtype=np.float32,
    )
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    np.save(target / "paragram.npy", vectors)
    np.save(target / "nn.npy", distances.argsort(axis=1)[:, :5])
    (target / "wordlist.pickle").write_bytes(pickle.dumps({word: row for row, word in enumerate(WORDS)}))


def _write_tagger(target: Path) -> None:
    """NLTK's own tagger, trained on a few sentences."""
    from nltk.tag.perceptron import PerceptronTagger

    nouns = {*SYNONYMS[1], *SYNONYMS[3], "script", "acting"}
    tags = {word: "NN" if word in nouns else "DT" if word in {"a", "the"} else "JJ" for word in WORDS}
    tags |= dict.fromkeys(["and", "with", "of"], "IN") | {"is": "VBZ", "it": "PRP", "very": "RB"}
    sentences = [[("a", "DT"), (word, tag), ("film", "NN")] for word, tag in tags.items()] * 3
    tagger = PerceptronTagger(load=False)
    tagger.train(sentences)
    model = target / "averaged_perceptron_tagger_eng"
    model.mkdir(parents=True)
    parts = {"weights": tagger.model.weights, "tagdict": tagger.tagdict, "classes": sorted(tagger.classes)}
    for part, content in parts.items():
        (model / f"averaged_perceptron_tagger_eng.{part}.json").write_text(json.dumps(content))
    (target / "universal_tagset").mkdir()
    (target / "universal_tagset" / "en-ptb.map").write_text(
        "NN\tNOUN\nJJ\tADJ\nDT\tDET\nIN\tADP\nVBZ\tVERB\nPRP\tPRON\nRB\tADV\n"
    )


def _tokenizer():
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokens = {token: row for row, token in enumerate(vocabulary)}
    return BertTokenizerFast(tokenizer_object=BertWordPieceTokenizer(vocab=tokens)._tokenizer, model_max_length=512)


def _write_masked_model(target: Path, kind: str) -> None:
    """A masked language model of the right architecture with random weights."""
    import transformers

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    sizes |= {"vocab_size": len(tokenizer), "max_position_embeddings": 514}
    config = {"bert": transformers.BertConfig, "roberta": transformers.RobertaConfig}[kind](**sizes, pad_token_id=0)
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(target)
    tokenizer.save_pretrained(target)


def _write_sentence_model(target: Path) -> None:
    """A sentence encoder: a random BERT and mean pooling, in sentence-transformers' layout."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    encoder = target.with_name("encoder")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(**sizes, vocab_size=len(tokenizer))).save_pretrained(encoder)
    tokenizer.save_pretrained(encoder)
    layers = [modules.Transformer(str(encoder)), modules.Pooling(16)]
    SentenceTransformer(modules=layers, device="cpu").save(str(target))
