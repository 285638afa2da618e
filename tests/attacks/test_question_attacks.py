"""Attacks on questions, run for real on a reader that looks for the sentence with most of the question's words."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest

from kdbench.answers.metrics import exact_match, token_f1
from kdbench.attacks.questions import QuestionExample, attack_questions
from kdbench.attacks.spec import ATTACKS, AttackSpec
from kdbench.attacks.text import TextExample, attack_texts
from kdbench.errors import AttackError

# One worker for all of these tests, so that TextAttack is imported once.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("textattack")]

NAMES = ["question-characters", "question-synonyms", "question-edits"]
each_attack = pytest.mark.parametrize("name", NAMES)

CONTEXT = (
    "The wooden tower was planned by Otto Klein. "
    "The great stone bridge was designed by Ada Moreau in 1931. "
    "Painters from the north founded their colony beside the harbour of Port Arlin."
)
EXAMPLES = [
    QuestionExample("bridge", "Who designed the great stone bridge in 1931?", CONTEXT, ("Ada Moreau", "Mrs Moreau")),
    QuestionExample("tower", "Who planned the wooden tower?", CONTEXT, ("Otto Klein",)),
    QuestionExample(
        "colony", "Where is the painters' colony, which they founded?", CONTEXT, ("harbour of Port Arlin",)
    ),
    QuestionExample("wrong", "Who designed the stone bridge?", CONTEXT, ("the citizens of Lyon",)),
    QuestionExample("bare", "Who is it?", CONTEXT, ("Otto Klein",)),
    QuestionExample("told", "At Port Arlin's harbour, what did they found?", CONTEXT, ("the harbour of Port Arlin",)),
]
# What may change, worked out by hand; nothing else may.
FREE = {
    "bridge": {"designed", "great", "stone", "bridge"},
    "tower": {"planned", "wooden", "tower"},
    "colony": {"painters", "colony", "founded"},
    "wrong": set(),
    "bare": set(),
    "told": {"did"},
}
WORD = re.compile(r"\[UNK\]|\w+(?:['-]\w+)*")


class Overlap:
    """Proposes the name in each sentence, likelier the more long words the sentence shares with the question.

    Of equally likely names the first one is best.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []

    def answers(self, questions, contexts):
        assert set(contexts) == {CONTEXT}
        self.asked += questions
        return [self._answer(*asked) for asked in zip(questions, contexts, strict=True)]

    def _answer(self, question, context):
        words = {word for word in WORD.findall(question.lower()) if len(word) > 3 and word.isalpha()}
        found = []
        for sentence in context.split(". "):
            overlap = len(words & set(WORD.findall(sentence.lower())))
            found.append((re.search(r"[A-Z]\w+ [A-Z]\w+", sentence).group(), float(np.exp(overlap - 9))))
        return sorted(found, key=lambda pair: -pair[1])


class Rule:
    """A reader that answers by a function of the question."""

    def __init__(self, answer) -> None:
        self.answer = answer

    def answers(self, questions, contexts):
        return [self.answer(question) for question in questions]


def run(name, examples=EXAMPLES, victim=None, query_budget=500, seed=0, **changes):
    spec = ATTACKS.get(name).model_copy(update=changes)
    return attack_questions(victim or Overlap(), examples, spec, query_budget=query_budget, seed=seed)


@pytest.fixture(scope="module")
def outcomes():
    """The outcomes of each attack on all examples, computed once."""
    return cache(run)


@each_attack
def test_outcomes_agree_with_the_victim(outcomes, name):
    found = outcomes(name)
    assert [outcome.id for outcome in found] == [example.id for example in EXAMPLES]
    for example, outcome in zip(EXAMPLES, found, strict=True):
        assert outcome.original == example.question
        (before, *_), (after, *_) = Overlap().answers([outcome.original, outcome.perturbed], [CONTEXT] * 2)
        assert (outcome.predicted, outcome.adversarial) == (before[0], after[0])
        assert outcome.clean_f1 == token_f1(before[0], example.answers)
        assert outcome.clean_exact_match == exact_match(before[0], example.answers)
        assert outcome.f1 == token_f1(after[0], example.answers)
        assert outcome.exact_match == exact_match(after[0], example.answers)
        expected = "skipped" if outcome.clean_f1 < 0.5 else "success" if outcome.f1 < 0.5 else "failed"
        assert outcome.outcome == expected
    by_id = {outcome.id: outcome for outcome in found}
    assert {key: outcome.outcome for key, outcome in by_id.items()} == {
        "bridge": "success",
        "tower": "failed",  # the first sentence is the reader's answer to anything
        "colony": "success",
        "wrong": "skipped",
        "bare": "failed",
        "told": "failed",
    }
    for key in ("wrong", "bare"):
        assert (by_id[key].queries, by_id[key].perturbed) == (1, by_id[key].original)
    assert by_id["colony"].clean_f1 == pytest.approx(2 * 2 / (2 + 4))
    # All four shared words must go before another answer is the best: only the expected F1 leads there.
    assert by_id["bridge"].perturbed_words == 4


@each_attack
def test_what_the_question_asks_for_is_never_touched(name):
    """Neither in the outcome nor in any question the victim was asked on the way."""
    touched = set()
    for example in EXAMPLES:
        victim = Overlap()
        run(name, [example], victim)
        before = WORD.findall(example.question)
        for question in victim.asked:
            after = WORD.findall(question)
            assert len(after) == len(before)
            changed = {old for old, new in zip(before, after, strict=True) if old != new}
            assert changed <= FREE[example.id]
            touched |= changed
    assert touched >= {"designed", "planned", "tower", "founded"}


@each_attack
def test_each_attack_perturbs_in_its_own_way(outcomes, name):
    from nltk.corpus import wordnet

    seen = set()
    for outcome in outcomes(name):
        for old, new in zip(WORD.findall(outcome.original), WORD.findall(outcome.perturbed), strict=True):
            if new in {lemma for synset in wordnet.synsets(old) for lemma in synset.lemma_names()} - {old}:
                seen.add("synonyms")
            elif new != old:
                seen.add("characters")
                assert abs(len(old) - len(new)) <= 1
    assert seen == set(ATTACKS.get(name).arguments["edits"])


@pytest.mark.parametrize(
    ("question", "answer", "untouched"),
    [
        ("Who's Tesla's cousin?", "Tesla", {"Who's", "Tesla's"}),  # possessive, contraction
        ("Which semi-detached HOUSE burned?", "a house", {"Which", "HOUSE"}),
        ("Which semi-detached house burned?", "Semi-Detached!", {"Which", "semi-detached"}),
        ("What did Alzheimer's nephew paint?", "Parkinson's", {"What"}),  # one 's does not protect every 's
        ("How did 12th Street change in the 1990s?", "it grew", {"How", "12th", "in", "the", "1990s"}),
        ("Under which cloud did it rain?", "grey", {"Under", "which", "it"}),  # a capitalised stop word
        ("Vitamin C hurts whom?", "C", {"C", "whom"}),
    ],
)
def test_untouched_words_by_hand(question, answer, untouched):
    """The reader doubts itself the more, the more words are odd, but never errs: all that can change will."""
    words = set(WORD.findall(question))

    def doubt(asked):
        odd = sum(word not in words for word in WORD.findall(asked))
        return [(answer, 1.0), ("nonsense", float(odd))]

    example = QuestionExample("one", question, "", (answer,))
    (outcome,) = run("question-characters", [example], Rule(doubt))
    after = WORD.findall(outcome.perturbed)
    changed = {old for old, new in zip(WORD.findall(question), after, strict=True) if old != new}
    assert changed == words - untouched


def test_at_most_thirty_characters_are_edited():
    editdistance = pytest.importorskip("editdistance")
    question = " ".join(f"river{letter}" for letter in "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz")

    def doubt(asked):
        return [("yes", 1.0), ("no", float(editdistance.eval(question, asked)))]

    (outcome,) = run("question-characters", [QuestionExample("long", question, "", ("yes",))], Rule(doubt))
    assert editdistance.eval(outcome.original, outcome.perturbed) == 30


@each_attack
def test_an_example_does_not_depend_on_the_others(outcomes, name):
    by_id = {outcome.id: outcome for outcome in outcomes(name)}
    for chosen in (EXAMPLES, EXAMPLES[::-1], EXAMPLES[2:4], EXAMPLES[:1]):
        assert run(name, chosen) == [by_id[example.id] for example in chosen]


def test_the_seed_decides(outcomes):
    assert run("question-characters", seed=1) != outcomes("question-characters")
    assert run("question-synonyms", seed=1) == outcomes("question-synonyms")  # nothing in it is random


def test_nothing_is_remembered_from_the_same_question_about_another_context():
    """The first of them is skipped, so the library keeps its cache."""

    class Echo:
        def answers(self, questions, contexts):
            return [[(context, 1.0)] for context in contexts]

    first, second = (QuestionExample(text, "Who designed it?", text, ("right",)) for text in ("wrong", "right"))
    found = run("question-characters", [first, second], Echo())
    assert [(outcome.outcome, outcome.predicted) for outcome in found] == [("skipped", "wrong"), ("failed", "right")]


@each_attack
@pytest.mark.parametrize("budget", [2, 5, 12])
def test_the_query_budget_is_kept(outcomes, name, budget):
    for example, whole in zip(EXAMPLES, outcomes(name), strict=True):
        victim = Overlap()
        (outcome,) = run(name, [example], victim, query_budget=budget)
        assert 1 <= len(victim.asked) <= outcome.queries <= budget
        if whole.queries < budget:
            assert outcome == whole


def test_the_goal_decides():
    """Clean F1 1, and 2/3 once a word has changed."""
    example = QuestionExample("one", "Who designed the bridge?", "", ("Ada Moreau",))

    def add(asked):
        return [("Ada Moreau" if asked == example.question else "Ada Moreau of Lyon", 1.0)]

    for goal, expected in [(0.5, "failed"), (2 / 3, "failed"), (0.67, "success"), (1.0, "success")]:
        (outcome,) = run("question-characters", [example], Rule(add), f1_below=goal)
        assert (outcome.outcome, outcome.f1, outcome.exact_match) == (expected, pytest.approx(2 / 3), 0.0)
    half = QuestionExample("one", "Who designed it?", "", ("Ada Moreau of Lyon",))
    for goal, expected in [(0.66, "failed"), (0.67, "skipped")]:
        (outcome,) = run("question-characters", [half], Rule(lambda _: [("Ada Moreau", 1.0)]), f1_below=goal)
        assert (outcome.outcome, outcome.clean_f1) == (expected, pytest.approx(2 / 3))


def test_an_attack_that_helped_does_not_count_as_help():
    """The strongest attempt by the expected F1 may have the better best answer: the clean one counts then."""
    example = QuestionExample("one", "Who designed the bridge?", "", ("Ada Moreau",))

    def better(asked):
        if asked == example.question:
            return [("Ada Moreau of Lyon", 1.0)]
        return [("Ada Moreau", 0.5), ("Lyon", 0.4)]

    (outcome,) = run("question-characters", [example], Rule(better))
    assert (outcome.outcome, outcome.adversarial) == ("failed", "Ada Moreau")
    assert outcome.clean_f1 == outcome.f1 == pytest.approx(2 / 3)
    assert outcome.clean_exact_match == outcome.exact_match == 0.0


def test_weird_questions_fail_but_do_not_crash():
    weird = [
        "",
        " \n",
        "?!",
        "\U0001f600 \U0001f600",
        "Who <SPLIT> designed <SPLIT> it?",
        "İstanbul café naïve ﬁlm",
        "x" * 300,
    ]
    for name in NAMES:
        found = run(name, [QuestionExample(q, q, "", ("a",)) for q in weird], Rule(lambda _: [("a", 1.0)]))
        assert {outcome.outcome for outcome in found} == {"failed"}


def test_what_lies_beyond_the_attacked_part_is_asked_too():
    tail = "<SPLIT> of the old stone bridge?"
    asked = []

    def answer(question):
        asked.append(question)
        return [("Ada Moreau", 1.0 if "designed" in question else 0.5), ("no", 0.5)]

    example = QuestionExample("one", "Who designed the arches " + tail, "", ("Ada Moreau",))
    (outcome,) = run("question-characters", [example], Rule(answer))
    assert outcome.perturbed != outcome.original
    assert outcome.perturbed in asked
    assert all(question.endswith(tail) for question in asked)


ONE = QuestionExample("one", "Who designed the bridge?", "", ("Ada Moreau",))
RECIPE = {"recipe": "kdbench.attacks.question_recipes:QuestionEdits", "arguments": {"edits": ["characters"]}}
UNANSWERABLE = QuestionExample("open", "Who designed the bridge?", "", ())


@pytest.mark.parametrize(
    ("answers", "example", "change", "message"),
    [
        ([("a", -0.5), ("b", 1.0)], ONE, {}, "not negative"),
        ([("a", float("nan"))], ONE, {}, "finite"),
        ([("a", 0.0)], ONE, {}, "not all zero"),
        ([], ONE, {}, "need probabilities"),
        ([("a", 1.0)], UNANSWERABLE, {}, "example 'open' has no answer"),
        ([("a", 1.0)], ONE, {"arguments": {"edits": ["words"]}}, "must be a list of characters and synonyms"),
        ([("a", 1.0)], ONE, {"arguments": {"swaps": 3}}, "cannot be built"),
        (
            [("a", 1.0)],
            ONE,
            {"recipe": "textattack.attack_recipes:DeepWordBugGao2018", "arguments": {}},
            "its goal is UntargetedClassification; only WrongAnswer can be scored",
        ),
        ([("a", 1.0)], ONE, {"kind": "text"}, "'mine' is of kind text; questions need one of kind question"),
    ],
)
def test_impossible_requests_are_explained(answers, example, change, message):
    spec = AttackSpec.model_validate({"name": "mine", "kind": "question", **RECIPE, **change})
    with pytest.raises(AttackError, match=message):
        attack_questions(Rule(lambda _: answers), [example], spec, query_budget=9, seed=0)


def test_a_victim_that_loses_questions_is_named():
    class Short:
        def answers(self, questions, contexts):
            return []

    with pytest.raises(AttackError, match="answered 0 of 1 questions") as caught:
        run("question-characters", [ONE], Short())
    assert caught.value.__notes__ == ["while attack 'question-characters' was running"]


def test_attacks_on_questions_are_not_for_classifiers():
    class Classifier:
        num_labels = 2

        def logits(self, texts, pairs):
            return np.zeros((len(texts), 2), dtype=np.float32)

    with pytest.raises(AttackError, match="'question-edits' is of kind question; texts need one of kind text"):
        attack_texts(
            Classifier(),
            [TextExample("one", "a film", None, 0)],
            ATTACKS.get("question-edits"),
            perturb="text",
            query_budget=9,
            seed=0,
        )


@each_attack
def test_a_question_that_reaches_the_goal_is_kept_whatever_the_others_score(name):
    """The wrong answer may be best by little, while another edit leaves the right one likelier to be lost."""

    def reader(question):
        words = WORD.findall(question)
        if "planned" not in words and {"wooden", "tower"} <= set(words):
            return [("Ada Moreau", 0.51), ("Otto Klein", 0.49)]  # wrong, with an expected F1 of 0.49
        if question != tower.question:
            return [("Otto Klein", 0.4), ("Ada Moreau", 0.3), ("Port Arlin", 0.3)]  # right, and only 0.4 expected
        return [("Otto Klein", 1.0)]

    tower = EXAMPLES[1]
    (outcome,) = run(name, [tower], Rule(reader))
    assert (outcome.outcome, outcome.adversarial, outcome.f1) == ("success", "Ada Moreau", 0.0)
    assert outcome.perturbed_words == 1
