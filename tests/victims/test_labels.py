"""Which output of a model stands for which class."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from kdbench.errors import ModelError
from kdbench.tasks.spec import TASKS
from kdbench.victims.labels import match_classes

NLI = ("entailment", "neutral", "contradiction")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_every_order_is_found(order: tuple[int, ...]) -> None:
    """A gold class becomes the output that the model calls by its name, and back."""
    spelled = ("ENTAILS", "Neutral", "contradict")
    names = [spelled[index] for index in order]
    found = match_classes(names, NLI, source="here")
    assert [names[output] for output in found.outputs] == list(spelled) and not found.warning
    assert [NLI[index] for index in found.classes] == [NLI[index] for index in order]
    assert (found.classes[found.outputs] == np.arange(3)).all()


@pytest.mark.parametrize("name", [name for name in TASKS.names() if len(TASKS.get(name).labels) > 1])
def test_a_tasks_own_names_are_never_mixed_up(name: str) -> None:
    """No two classes of one task mean the same, however they are spelled."""
    labels = TASKS.get(name).labels
    backwards = [label.upper().replace("_", " ") for label in reversed(labels)]
    assert match_classes(backwards, labels, source="here").outputs.tolist() == list(range(len(labels)))[::-1]


def test_made_up_names_keep_the_order_and_warn() -> None:
    """Unless somebody has said so."""
    found = match_classes(["LABEL_0", "LABEL_1", "LABEL_2"], NLI, source="here")
    assert found.outputs.tolist() == [0, 1, 2] and "entailment, neutral, contradiction" in found.warning
    with pytest.raises(ModelError, match="cannot be matched"):
        match_classes(["LABEL_0", "LABEL_1", "LABEL_2"], NLI, source="--labels", sure=True)
    with pytest.raises(ModelError, match="cannot be matched"):
        match_classes(["LABEL_1", "LABEL_0", "LABEL_2"], NLI, source="here")


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["entailment", "neutral"], r"here: 2 classes, but the task has 3 \(entailment, neutral, contradiction\)"),
        (["entailment", "entails", "neutral"], "cannot be matched"),
        (["yes", "maybe", "no"], "classes yes, maybe, no cannot be matched .* --labels entailment,neutral,contra"),
    ],
)
def test_what_does_not_match_is_refused(names: list[str], complaint: str) -> None:
    """By number or by name."""
    with pytest.raises(ModelError, match=complaint):
        match_classes(names, NLI, source="here")
