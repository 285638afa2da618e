"""Requests that cannot be met, and victims that answer nonsense, are explained."""

from __future__ import annotations

import numpy as np
import pytest

from kdbench.attacks.spec import ATTACKS, AttackSpec
from kdbench.attacks.text import TextExample, attack_texts
from kdbench.errors import AttackError

# One worker for all of these tests, so that TextAttack is imported once.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.xdist_group("textattack")]


class Odd:
    """A victim that answers nonsense."""

    def __init__(self, answer, num_labels=2):
        self.answer = answer
        self.num_labels = num_labels

    def logits(self, texts, pairs):
        return np.array([self.answer] * len(texts), dtype=np.float32)


ONE = TextExample("one", "a great film", None, 1)


@pytest.mark.parametrize(
    ("victim", "example", "change", "message"),
    [
        (Odd([0.0]), ONE, {}, r"logits of shape \(1, 1\) for 1 texts and 2 classes"),
        (Odd([0.0, float("nan")]), ONE, {}, "not finite"),
        (Odd([0.0], num_labels=1), ONE, {}, "at least 2 classes"),
        (Odd([0.0, 1.0]), ONE, {"perturb": "text_pair"}, "example 'one' has no second text"),
        (Odd([0.0, 1.0]), TextExample("two", "x", None, 2), {}, "example 'two': label 2"),
        (Odd([0.0, 1.0]), ONE, {"query_budget": 1}, "at least 2"),
        (
            Odd([0.0, 1.0]),
            ONE,
            {"recipe": "textattack.attack_recipes:Nobody1999"},
            "Nobody1999 cannot be built",
        ),
        (Odd([0.0, 1.0]), ONE, {"arguments": {"swaps": 3}}, "unexpected keyword argument 'swaps'"),
        (
            Odd([0.0, 1.0]),
            ONE,
            {"recipe": "textattack.attack_recipes:InputReductionFeng2018"},
            "InputReduction",
        ),
        (Odd([0.0, 1.0]), ONE, {"needs": ["gradients"]}, "victim's gradients"),
    ],
)
def test_impossible_requests_are_explained(victim, example, change, message):
    options = {"perturb": "text", "query_budget": 50} | {
        k: v for k, v in change.items() if k in {"perturb", "query_budget"}
    }
    fields = {"name": "mine", "recipe": "textattack.attack_recipes:DeepWordBugGao2018"}
    spec = AttackSpec(**(fields | {k: v for k, v in change.items() if k not in options}))
    with pytest.raises(AttackError, match=message):
        attack_texts(victim, [example], spec, seed=0, **options)


def test_an_error_of_the_victim_names_the_attack():
    class Broken(Odd):
        def logits(self, texts, pairs):
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory") as caught:
        attack_texts(Broken([]), [ONE], ATTACKS.get("pruthi"), perturb="text", query_budget=9, seed=0)
    assert caught.value.__notes__ == ["while attack 'pruthi' was running"]
