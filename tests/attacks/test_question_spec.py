"""Attacks on questions as data, and that the other kinds are what they were before there were any."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kdbench.attacks.spec import ATTACKS, AttackSpec

QUESTION = [name for name in ATTACKS.names() if ATTACKS.get(name).kind == "question"]
PLANNED = {"exclude": {"description", "cite"}, "mode": "json"}  # what goes into a cell's key


def question(**changes):
    return AttackSpec.model_validate({"name": "x", "kind": "question", "recipe": "a:b"} | changes)


def test_the_catalog_says_whose_they_are():
    assert QUESTION == ["question-characters", "question-edits", "question-synonyms"]
    for spec in map(ATTACKS.get, QUESTION):
        assert spec.f1_below == 0.5
        assert ("wordnet" in spec.needs) == ("synonyms" in spec.arguments["edits"])
        assert spec.cite.startswith("kdbench's own")
        assert AttackSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_the_goal_is_half_unless_told():
    assert question().f1_below == 0.5
    assert question(f1_below=1).f1_below == 1.0
    assert question().model_dump(**PLANNED)["f1_below"] == 0.5


@pytest.mark.parametrize("name", sorted({*ATTACKS.names()} - {*QUESTION}))
def test_other_kinds_keep_their_dump(name):
    """Results of older runs are found by it."""
    always = ["name", "kind", "version", "recipe", "arguments", "needs", "models", "norm", "epsilon", "members"]
    spec = ATTACKS.get(name)
    used = [field for field in ("goal", "epsilons") if field in spec.model_fields_set]
    assert sorted(spec.model_dump(**PLANNED)) == sorted([*always, *used])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"f1_below": 0}, "greater than 0"),
        ({"f1_below": 1.5}, "less than or equal to 1"),
        ({"f1_below": None}, "an attack of kind question needs 'f1_below'"),
        ({"recipe": ""}, "an attack of kind question needs 'recipe'"),
        ({"norm": "L2"}, "'norm' has no meaning for an attack of kind question"),
        ({"needs": ["gradients"]}, "'gradients' are not to be had"),
        ({"kind": "text", "f1_below": 0.5}, "'f1_below' has no meaning for an attack of kind text"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        question(**changes)
