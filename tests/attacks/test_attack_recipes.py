"""All recipes, built and run from asset folders.

The assets are small stand-ins in the real file formats: vectors, a tagger trained here, language models with
random weights. TensorFlow is not installed, so a package of its name returns a bag-of-words encoder. What is
tested is that each recipe finds every asset by itself, offline, and attacks.
"""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kdbench.attacks import _library, assets
from kdbench.attacks._search import _seed_all
from kdbench.attacks.describe import built_parts
from kdbench.attacks.memo import Memo
from kdbench.attacks.spec import ATTACKS
from kdbench.attacks.text import TextExample, attack_texts
from kdbench.errors import AttackError
from kdbench.hashing import derive_seed
from tests.attacks.recipe_assets import SYNONYMS, write_assets, write_vectors

# One worker for all of these tests, so that TextAttack is imported once.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("textattack")]

EXAMPLES = [
    TextExample("film", "a great and funny film with a fine cast", None, 1),
    TextExample("cast", "the worst cast and a dull script", None, 0),
]
CROWD = [
    *EXAMPLES,
    TextExample("wrong", "great fun", None, 0),
    TextExample("story", "a funny story, superb acting and a wonderful crew; the script is not dull", None, 1),
    TextExample("dull", "dull", None, 0),
]


def plain_textattack(victim, examples, spec, budget, directories):
    """Text and queries of every example, by the library's own loop; only seeds and goal budget are set from outside."""
    with _library.session():
        import torch
        from textattack.goal_functions import UntargetedClassification
        from textattack.models.wrappers import ModelWrapper

        class Plain(ModelWrapper):
            goal, max_length = UntargetedClassification, 512
            ask = staticmethod(lambda model, questions: model(questions))

            def __init__(self):
                self.model, self.memo = victim, Memo()

            def __call__(self, texts):
                return torch.softmax(torch.from_numpy(victim.logits(texts, None).astype(np.float64)), 1)

            def get_grad(self, text):
                return {"gradient": victim.gradient(text, None, "text")[1]}

            def _tokenize(self, texts):
                return [victim.gradient(text, None, "text")[0] for text in texts]

        attack = _library.build(spec, Plain(), directories)
        attack.goal_function.query_budget = budget
        found = []
        for example in examples:
            _seed_all(derive_seed(0, spec.name, example.id))
            result = attack.attack(example.text, example.label)
            found.append((result.perturbed_result.attacked_text.text, attack.goal_function.num_queries))
        return found


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
        return tokens, self.vectors(tokens)

    def vectors(self, words):
        weights = dict(zip(self.inner.vectorizer.get_feature_names_out(), self.inner.model.coef_[0], strict=True))
        return np.array([[weights.get(word.lower(), 0.0)] for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An asset folder with every asset there is."""
    folder = tmp_path_factory.mktemp("assets")
    write_assets(folder)
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


STOCK = ["textfooler", "bae", "bert-attack", "clare", "a2t", "textbugger", "iga", "pso"]
OURS = ["textfooler-minilm", "textfooler-neighbours", "bae-minilm", "bert-attack-minilm", "clare-minilm", "a2t-minilm"]
OURS += ["textbugger-minilm", "genetic-neighbours", "hotflip"]
PACKAGED = ["textfooler-wordnet", "a2t-wordnet", "textbugger-wordnet", "genetic-wordnet", "pso-wordnet", "leap"]
PACKAGED += [
    "hotflip-wordnet",
]
SWAPS = {"textfooler", "a2t", "iga", "pso", "textfooler-minilm", "textfooler-neighbours", "a2t-minilm", "hotflip"}
SWAPS |= {"genetic-neighbours"}


@pytest.mark.parametrize("name", [*STOCK, *OURS, *PACKAGED])
def test_the_recipe_runs_from_the_folder(bag, folder, tensorflow_hub, flair_tagger, no_network, monkeypatch, name):
    """Twice the same, with the victim's own word for its outcome; synonyms are those of the stand-ins."""
    spec = ATTACKS.get(name)
    assert assets.missing_assets(spec, [] if name in PACKAGED else [folder]) == []
    monkeypatch.chdir(folder.parent)
    folder = Path(folder.name)  # relative, though models are looked for in another working directory
    victim = GradientBag(bag)

    def run():
        return attack_texts(victim, EXAMPLES, spec, perturb="text", query_budget=300, seed=0, directories=[folder])

    found = run()
    assert (Path.cwd() / folder).is_dir()
    assert [outcome.predicted for outcome in found] == [1, 0]
    assert all(0 < outcome.queries <= 300 for outcome in found)
    assert any(outcome.perturbed != outcome.original for outcome in found)
    for outcome in found:
        assert victim.inner.predict(outcome.perturbed) == outcome.adversarial
    assert (victim.gradients > 0) == ("gradients" in spec.needs)
    assert run() == found
    if name in SWAPS:
        for outcome in found:
            for old, new in zip(outcome.original.split(), outcome.perturbed.split(), strict=True):
                assert old == new or any(old in group and new in group for group in SYNONYMS)


@pytest.mark.parametrize("name", [*STOCK, *OURS, *PACKAGED])
def test_outcomes_are_those_of_plain_textattack(bag, folder, tensorflow_hub, flair_tagger, name):
    """One example after the other through ``Attack.attack``, and all at once: the same texts by the same queries."""
    spec, budget = ATTACKS.get(name), 60
    victim, directories = GradientBag(bag), [] if name in PACKAGED else [folder]
    together = attack_texts(
        victim, CROWD, spec, perturb="text", query_budget=budget, seed=0, directories=directories, lanes=3
    )
    plain = plain_textattack(victim, CROWD, spec, budget, directories)
    assert [(outcome.perturbed, outcome.queries) for outcome in together] == plain
    assert len({queries for _, queries in plain}) > 1


@pytest.mark.parametrize("name", [*STOCK, *OURS])
def test_declared_parts_are_what_is_built(folder, tensorflow_hub, flair_tagger, name):
    """What ``describe`` says where an attack cannot be built, and what it says where it can."""
    assert ATTACKS.get(name).parts == built_parts(ATTACKS.get(name), [folder])


def test_without_tensorflow_the_reason_is_said(folder):
    with pytest.raises(AttackError, match="it needs TensorFlow"):
        assets.prepare(ATTACKS.get("textfooler"), [folder])


def test_a_word_list_that_would_run_code_is_refused(tmp_path):
    write_vectors(tmp_path / "paragramcf")

    class Harmful:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harm"),))

    (tmp_path / "paragramcf" / "wordlist.pickle").write_bytes(pickle.dumps(Harmful()))
    assets.prepare(ATTACKS.get("deepwordbug"))
    with _library.session(), pytest.raises(AttackError, match="only plain dicts of words are read"):
        _library._load_counterfitted([tmp_path])
    assert not (tmp_path / "harm").exists()


BERT = "google-bert/bert-base-uncased"


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("textfooler-neighbours", "counterfitted_neighbors.parquet", b"PAR1"),
        ("hotflip", "paragramcf/paragram.npy", b"half"),
        ("hotflip", "paragramcf/wordlist.pickle", b""),
        ("hotflip", "paragramcf/wordlist.pickle", b"\xff"),
        ("pso", "word_candidates_sense.pkl", b"\x80"),
        ("bae-minilm", f"{BERT}/config.json", b"{"),
        ("bae-minilm", f"{BERT}/model.safetensors", b"half"),
        ("textfooler", "universal-sentence-encoder/saved_model.pb", b"half"),
    ],
)
def test_a_damaged_asset_is_told_in_one_line(bag, folder, tmp_path, monkeypatch, flair_tagger, name, file, content):
    copy = tmp_path / "assets"
    shutil.copytree(folder, copy)
    (copy / file).write_bytes(content)
    spec = ATTACKS.get(name)
    (tmp_path / "tensorflow_hub.py").write_text("def load(folder): raise OSError(f'{folder}: is damaged')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorflow_hub", raising=False)
    with pytest.raises(AttackError, match=f"attack '{name}' cannot be built: .") as caught:
        attack_texts(GradientBag(bag), EXAMPLES, spec, perturb="text", query_budget=9, seed=0, directories=[copy])
    assert "\n" not in str(caught.value)
    sys.modules.pop("tensorflow_hub", None)


def test_assets_are_found_beside_models_in_a_relative_folder(bag, folder, monkeypatch):
    """A recipe with models is built in another working directory."""
    spec = ATTACKS.get("textfooler-neighbours").model_copy(update={"models": (BERT,)})
    monkeypatch.chdir(folder.parent)
    settings = {"perturb": "text", "query_budget": 300, "seed": 0, "directories": [Path(folder.name)]}
    outcomes = attack_texts(GradientBag(bag), EXAMPLES, spec, **settings)
    assert any(outcome.perturbed != outcome.original for outcome in outcomes)
