"""What kdbench's own recipes are made of: words, parts of speech, flips by gradient, and edits."""

from __future__ import annotations

import numpy as np
import pytest

from kdbench.attacks import _library, assets
from kdbench.attacks.memo import Memo
from kdbench.attacks.spec import ATTACKS
from kdbench.attacks.text import TextExample, attack_texts
from kdbench.errors import AttackError, SuiteError
from kdbench.suite import load_suite
from tests.attacks.recipe_assets import write_neighbours
from tests.conftest import write_suite

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("textattack")]


@pytest.fixture(scope="module")
def session():
    assets.prepare(ATTACKS.get("pwws"))
    with _library.session():
        yield


def test_neighbours_come_nearest_first_and_in_the_words_case(session, tmp_path):
    from kdbench.attacks.recipes.words import word_swap

    write_neighbours(tmp_path)
    swap = word_swap("neighbours", 3, [tmp_path])
    assert swap._get_replacement_words("film") == ["drama", "movie", "picture"]
    assert swap._get_replacement_words("FILM") == ["DRAMA", "MOVIE", "PICTURE"]
    assert swap._get_replacement_words("the") == swap._get_replacement_words("unheard") == []
    with pytest.raises(AttackError, match="words 'thesaurus': must be vectors, neighbours or wordnet"):
        word_swap("thesaurus", 3, [tmp_path])


def test_wordnet_synonyms_do_not_depend_on_the_process(session):
    """They are sorted; TextAttack's come in the order of a set of strings, which PYTHONHASHSEED shuffles."""
    from kdbench.attacks.recipes.words import word_swap

    found = word_swap("wordnet", 50, [])._get_replacement_words("Film")
    assert {"Movie", "Picture"} < set(found) and [word.lower() for word in found] == sorted(map(str.lower, found))
    assert word_swap("wordnet", 2, [])._get_replacement_words("Film") == found[:2]


def test_parts_of_speech(session):
    from textattack.shared import AttackedText

    from kdbench.attacks.recipes.tags import SamePartOfSpeech, universal_tags

    sentence = "The dog quickly eats two big bones and it can not stop"
    expected = "DET NOUN ADV VERB NUM ADJ NOUN CONJ PRON VERB ADV VERB"
    assert universal_tags(tuple(sentence.split())) == tuple(expected.split())
    assert universal_tags(("good bye", "film", " ")) == ("NOUN", "NOUN", "X"), "one tag for each, whatever is inside"
    text = AttackedText(sentence)
    swaps = [text.replace_word_at_index(*swap) for swap in ((1, "cat"), (1, "eat"), (1, "quickly"), (3, "slowly"))]
    for strict, kept in ((True, [True, False, False, False]), (False, [True, True, False, False])):
        constraint = SamePartOfSpeech(allow_verb_noun_swap=not strict)
        assert [constraint._check_constraint(swap, text) for swap in swaps] == kept


class Linear:
    """A victim whose loss is linear in its words' vectors, so that the first-order estimate is exact."""

    num_labels = 2
    weight = np.array([1.0, -2.0])

    def vectors(self, words):
        return np.array([[len(word), word.count("e")] for word in words], float)

    def logits(self, texts, pairs):
        margin = np.array([(self.vectors(text.split()) @ self.weight).sum() for text in texts]) - 12
        return np.stack([np.zeros(len(texts)), margin], axis=1).astype(np.float32)

    def gradient(self, text, pair, column):
        tokens = text.lower().split()
        sign = -1 if self.logits([text], None).argmax() == 1 else 1  # of the loss of its own prediction
        return tokens, np.tile(sign * self.weight, (len(tokens), 1))


def test_flips_are_ranked_by_what_they_do(session, tmp_path):
    """The ten texts of largest loss among all that may be reached by one word, in that order."""
    from textattack.shared import AttackedText

    from kdbench.attacks._wrapper import VictimWrapper
    from kdbench.attacks.recipes.hotflip import HotFlip

    victim = Linear()
    wrapper = VictimWrapper(victim, "text", 512)
    wrapper.memo, wrapper.directories = Memo(), ()
    wrapper.show(TextExample("0", "a great film and some nice actors", None, 1))
    flip = HotFlip.build(wrapper, words="wordnet").transformation
    text = AttackedText("a great film and some nice actors")
    texts = flip(text)
    reachable = [each for index in range(text.num_words) for each in flip._allowed(text, index)]
    margins = victim.logits([each.text for each in reachable], None)[:, 1]
    assert len(reachable) > len(texts) == 10
    found = victim.logits([each.text for each in texts], None)[:, 1]
    np.testing.assert_allclose(found, np.sort(margins)[:10])
    assert all(sum(a != b for a, b in zip(each.words, text.words, strict=True)) == 1 for each in texts)


def test_hotflip_changes_two_words_at_most(session):
    examples = [TextExample("long", "the great film has nice actors and several fine dialogues", None, 1)]
    spec = ATTACKS.get("hotflip-wordnet")
    (found,) = attack_texts(Linear(), examples, spec, perturb="text", query_budget=500, seed=0)
    assert found.outcome == "success" or found.perturbed_words == 2
    assert found.adversarial == int(Linear().logits([found.perturbed], None).argmax())


def test_hotflip_says_what_it_asks_of_a_victim(session, bag):
    victim = bag.BagOfWords()
    victim.gradient = lambda text, pair, column: ([], np.zeros((0, 1)))
    with pytest.raises(AttackError, match="reads the victim's word embeddings, which this victim does not offer"):
        attack_texts(
            victim,
            [TextExample("0", "fun", None, 1)],
            ATTACKS.get("hotflip-wordnet"),
            perturb="text",
            query_budget=9,
            seed=0,
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("it isn't a film", {"it is not a film"}), ("they are not here", {"they're not here", "they aren't here"})],
)
def test_checklist_contracts_and_expands(session, bag, text, expected):
    from textattack.shared import AttackedText

    from kdbench.attacks._wrapper import VictimWrapper
    from kdbench.attacks.recipes.edits import CheckList

    attack = CheckList.build(VictimWrapper(bag.BagOfWords(), "text", 512))
    found = {each.text for each in attack.transformation(AttackedText(text))}
    assert found and found <= expected | {text}
    numbers = {each.text for each in attack.transformation(AttackedText("I saw 30 films"))}
    assert numbers and all(int(each.split()[2]) != 30 for each in numbers)


def test_input_reduction_is_built_with_its_own_goal(session, bag):
    """And only where an attack declares that goal."""
    from textattack.goal_functions import InputReduction

    from kdbench.attacks._wrapper import VictimWrapper

    spec = ATTACKS.get("input-reduction")
    wrapper = VictimWrapper(bag.BagOfWords(), "text", 512)
    assert isinstance(_library.build(spec, wrapper, []).goal_function, InputReduction)
    with pytest.raises(AttackError, match="its goal is InputReduction; only UntargetedClassification can be scored"):
        _library.build(spec.model_copy(update={"goal": "untargeted"}), wrapper, [])
    with pytest.raises(AttackError, match="its goal is UntargetedClassification; only InputReduction can be scored"):
        _library.build(ATTACKS.get("pruthi").model_copy(update={"goal": "reduction"}), wrapper, [])


def test_suites_refuse_a_reduction(tmp_path):
    """Its result is a share of words, which no table of accuracies holds."""
    path = write_suite(tmp_path / "tiny.yaml", attack="attack: {attacks: [pwws, input-reduction]}")
    with pytest.raises(SuiteError, match=r"tiny\.yaml: attack input-reduction seeks the same prediction"):
        load_suite(str(path))
