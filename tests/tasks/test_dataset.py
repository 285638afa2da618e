"""Rows in a task's vocabulary: labels, columns, ids, samples and the selection split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdbench.errors import DataError
from kdbench.tasks.dataset import TextExamples, carve_selection, to_examples
from kdbench.tasks.spec import Columns

PLAIN = Columns(text="text")
PAIR = Columns(text="left", text_pair="right", label="gold", group="topic")


def _examples(labels: list[Any], names: list[str], label_map: dict[Any, str], **more: Any) -> TextExamples:
    table = pd.DataFrame({"text": [f"text {i}" for i in range(len(labels))], "label": labels, **more})
    return to_examples(table, PLAIN, names, label_map, "somewhere")


def _many(count: int, prefix: str = "sentence") -> TextExamples:
    table = pd.DataFrame({"text": [f"{prefix} {i}" for i in range(count)], "label": [i % 2 for i in range(count)]})
    return to_examples(table, PLAIN, ["no", "yes"], {}, "somewhere")


@pytest.mark.parametrize(
    ("labels", "label_map", "expected"),
    [
        ([1, 0, 2], {0: "c", 1: "a", 2: "b"}, [0, 2, 1]),
        (["x", "z", "y"], {"x": "a", "y": "b", "z": "c"}, [0, 2, 1]),
        ([1.0, 0.0, 2.0], {0: "c", 1: "a", 2: "b"}, [0, 2, 1]),
        ([1, 0, 2], {"0": "c", "1": "a", "2": "b"}, [0, 2, 1]),
        (["1", "0", "2"], {0: "c", 1: "a", 2: "b"}, [0, 2, 1]),
        ([2, 0, 1], {}, [2, 0, 1]),
        (["c", "a", "b"], {}, [2, 0, 1]),
        ([0, 1, 2], {0: "a", 1: "a", 2: "b"}, [0, 0, 1]),
    ],
    ids=["ints", "strings", "floats", "ints, map of strings", "strings, map of ints", "indices", "names", "merged"],
)
def test_labels_become_class_indices(labels: list[Any], label_map: dict[Any, str], expected: list[int]) -> None:
    """With a map by raw label; without one by name or index."""
    found = _examples(labels, ["a", "b", "c"], label_map)
    assert found.labels.tolist() == expected and found.labels.dtype == np.int64


def test_rows_whose_label_is_not_in_the_map_are_dropped() -> None:
    """SNLI's -1, a missing label: text, labels and ids stay aligned."""
    found = _examples([0, -1, 1, None, 1], ["a", "b"], {0: "a", 1: "b"})
    assert found.texts == ["text 0", "text 2", "text 4"] and found.labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize("label", ["d", 3, -1, 0.5, True])
def test_unknown_label_without_a_map(label: Any) -> None:
    """The message names the label, the classes and the remedy."""
    with pytest.raises(DataError, match=r"label .* is neither a class \(a, b, c\) nor its index: set 'label_map'"):
        _examples([0, label] if not isinstance(label, str) else ["a", label], ["a", "b", "c"], {})


def test_nothing_left_after_mapping() -> None:
    """A map that fits no row."""
    with pytest.raises(DataError, match="somewhere: no row is left after mapping labels; look at 'label_map'"):
        _examples([5, 6], ["a", "b"], {0: "a"})


def test_missing_columns_are_named_beside_those_that_exist() -> None:
    """All of them, in one line."""
    table = pd.DataFrame({"sentence": ["x"], "label": [0]})
    message = "somewhere: has no column left, right, gold, topic; it has sentence, label: set 'columns' of the task"
    with pytest.raises(DataError, match=message):
        to_examples(table, PAIR, ["a", "b"], {}, "somewhere")


def test_scores_that_are_no_numbers_are_dropped() -> None:
    """NaN, infinities, blanks and words; the rest is float32."""
    found = _examples([1.5, float("nan"), "2.25", "", "high", float("inf"), 3], [], {})
    assert found.labels.tolist() == [1.5, 2.25, 3.0] and found.labels.dtype == np.float32
    assert found.texts == ["text 0", "text 2", "text 6"]


def test_pairs_and_groups() -> None:
    """Both texts and the group of every kept row."""
    table = pd.DataFrame({"left": ["a", "b", "c"], "right": ["x", "y", "z"], "gold": [1, 9, 0], "topic": [7, 8, 9]})
    found = to_examples(table, PAIR, ["no", "yes"], {0: "no", 1: "yes"}, "somewhere")
    assert (found.texts, found.pairs, found.groups) == (["a", "c"], ["x", "z"], ["7", "9"])
    assert found.take([1]).pairs == ["z"] and found.take([1]).groups == ["9"] and len(found.take([])) == 0


@pytest.mark.parametrize("missing", [None, float("nan")])
@pytest.mark.parametrize("column", ["left", "right"])
def test_a_row_without_text_is_not_the_word_nan(column: str, missing: Any) -> None:
    """Missing texts are dropped or refused, never trained on as "nan" or "None"."""
    table = pd.DataFrame({"left": ["a", "b"], "right": ["x", "y"], "gold": [0, 1], "topic": ["t", "t"]}, dtype=object)
    table.loc[1, column] = missing
    try:
        found = to_examples(table, PAIR, ["no", "yes"], {}, "somewhere")
    except DataError:
        return
    assert (found.texts, found.pairs) == (["a"], ["x"])


def test_ids_are_unique_and_come_from_the_content() -> None:
    """Equal rows get a running number; the order of the table does not change an id."""
    table = pd.DataFrame({"text": ["a", "b", "a", "a", "a-1"], "label": [0, 1, 0, 1, 0]})
    found = to_examples(table, PLAIN, ["no", "yes"], {}, "somewhere")
    assert len(set(found.ids)) == 5
    backwards = to_examples(table.iloc[::-1], PLAIN, ["no", "yes"], {}, "elsewhere")
    assert set(backwards.ids) == set(found.ids) and backwards.ids[0] == found.ids[4]


def test_the_second_text_is_part_of_the_id() -> None:
    """And text and pair are not simply joined."""
    table = pd.DataFrame({"left": ["a", "a", "ab"], "right": ["bc", "b", "c"], "gold": [0, 0, 0], "topic": [0, 0, 0]})
    assert len({i.split("-")[0] for i in to_examples(table, PAIR, ["n", "y"], {}, "s").ids}) == 3


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60))
def test_smaller_samples_are_part_of_bigger_ones(small: int, big: int) -> None:
    """So that more data never means other data; the original order is kept."""
    small, big = sorted((small, big))
    examples = _many(50)
    few, many = examples.sample(small, "salt"), examples.sample(big, "salt")
    assert len(few) == min(small, 50) and set(few.ids) <= set(many.ids)
    positions = [examples.ids.index(i) for i in few.ids]
    assert positions == sorted(positions)


def test_samples_depend_on_content_and_salt_not_on_order() -> None:
    """No limit takes everything."""
    examples = _many(50)
    shuffled = examples.take(np.random.default_rng(0).permutation(50))
    assert set(shuffled.sample(10, "s").ids) == set(examples.sample(10, "s").ids)
    assert set(examples.sample(10, "t").ids) != set(examples.sample(10, "s").ids)
    assert examples.sample(None, "s") is examples


def test_selection_is_carved_by_content() -> None:
    """Disjoint, complete, about the fraction, and the same rows whatever the order."""
    examples = _many(1000)
    train, selection = carve_selection(examples, 0.2, 10_000)
    assert set(train.texts).isdisjoint(selection.texts) and len(train) + len(selection) == 1000
    assert abs(len(selection) - 200) < 4 * (1000 * 0.2 * 0.8) ** 0.5
    shuffled = examples.take(np.random.default_rng(1).permutation(1000))
    assert set(carve_selection(shuffled, 0.2, 10_000)[1].texts) == set(selection.texts)


def test_new_rows_do_not_move_old_ones_between_the_splits() -> None:
    """A row's side depends on the row."""
    small = carve_selection(_many(200), 0.3, 10_000)[1]
    large = carve_selection(_many(400), 0.3, 10_000)[1]
    assert set(small.texts) == {text for text in large.texts if int(text.split()[1]) < 200}


def test_duplicates_stay_on_one_side() -> None:
    """Also when their labels differ: selecting on a text that was trained on is leakage."""
    texts = [f"t{i % 40}" for i in range(200)]
    table = pd.DataFrame({"text": texts, "label": [i % 2 for i in range(200)]})
    train, selection = carve_selection(to_examples(table, PLAIN, ["a", "b"], {}, "s"), 0.4, 10_000)
    assert set(train.texts).isdisjoint(selection.texts) and len(train) + len(selection) == 200


def test_rows_over_the_limit_of_the_selection_are_not_trained_on() -> None:
    """The limit shortens the selection split; its rows do not go back to train."""
    examples = _many(500)
    whole = carve_selection(examples, 0.5, 10_000)
    train, selection = carve_selection(examples, 0.5, 20)
    assert len(selection) == 20 and set(selection.ids) < set(whole[1].ids) and train.ids == whole[0].ids


def test_too_few_examples_to_carve() -> None:
    """One side would be empty."""
    with pytest.raises(DataError, match="2 training examples are too few to carve a selection split out of"):
        carve_selection(_many(2), 1e-9, 10)
