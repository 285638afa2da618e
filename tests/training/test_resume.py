"""A training that was interrupted and goes on ends with the same bits as one that was not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from kdbench.checks.training import TinyTask
from kdbench.training.trainer import Trainer

UPDATES = 24
SETTINGS = {
    "mate": {"generator_steps": 2, "student_steps": 3, "generator_learning_rate": 1e-2},
    "combined": {"generator_steps": 2, "student_steps": 3, "generator_learning_rate": 1e-2},
    "annealing": {"max_temperature": 5},
}


class KilledError(Exception):
    """Stands for the end of the process."""


def _kill_at(selection: int) -> Callable[..., None]:
    def on_selection(index: int, *_: Any) -> None:
        if index == selection:
            raise KilledError

    return on_selection


def _same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(value, right[name]) for name, value in left.items())


@pytest.mark.parametrize(
    ("method", "kills"),
    [
        ("finetune", [0]),
        ("kd", [1, 2, 5]),
        ("annealing", [2, 4, 6]),
        ("prokd", [1, 5]),
        ("mate", [1, 3]),
        ("combined", [2, 5]),
    ],
)
def test_an_interrupted_training_ends_with_the_same_bits(
    make_trainer: Callable[..., Trainer], scores_task: TinyTask, method: str, kills: list[int]
) -> None:
    """Killed several times, at selections of every stage, with noise in the global random state in between.

    On scores, because the correlation of a tiny model changes with every update: best and last differ.
    """
    task = scores_task
    options: dict[str, Any] = {"settings": SETTINGS, "selections": 6}
    straight = make_trainer(task, method, UPDATES, folder="straight", **options)
    expected = straight.run()
    for selection in kills:
        torch.manual_seed(1000 + selection)
        with pytest.raises(KilledError):
            make_trainer(task, method, UPDATES, on_selection=_kill_at(selection), **options).run()
    torch.manual_seed(7)
    resumed = make_trainer(task, method, UPDATES, **options)
    found = resumed.run()
    assert _same(found.model.state_dict(), expected.model.state_dict())
    assert _same(resumed.last_weights(), straight.last_weights())
    assert (found.log, found.scores, found.score) == (expected.log, expected.scores, expected.score)


def test_an_interrupted_game_over_classes_ends_with_the_same_bits(
    make_trainer: Callable[..., Trainer], task: TinyTask
) -> None:
    """MATE with its soft cross-entropy."""
    options: dict[str, Any] = {"settings": SETTINGS, "selections": 3}
    straight, resumed = (make_trainer(task, "mate", 12, folder=name, **options) for name in ("a", "b"))
    expected = straight.run()
    with pytest.raises(KilledError):
        make_trainer(task, "mate", 12, folder="b", on_selection=_kill_at(1), **options).run()
    assert resumed.run().log == expected.log
    assert _same(resumed.last_weights(), straight.last_weights())


def test_resuming_does_not_repeat_what_was_saved(make_trainer: Callable[..., Trainer], task: TinyTask) -> None:
    """Killed at the third selection, the next process starts after the second."""
    with pytest.raises(KilledError):
        make_trainer(task, "kd", UPDATES, selections=6, on_selection=_kill_at(2)).run()
    seen: list[int] = []
    trainer = make_trainer(task, "kd", UPDATES, selections=6, on_selection=lambda index, *_: seen.append(index))
    trainer.run()
    assert seen[0] == 2 and seen == list(range(2, len(trainer.cursor.scores)))


def test_a_finished_training_is_read_from_its_last_checkpoint(
    make_trainer: Callable[..., Trainer], task: TinyTask
) -> None:
    """Killed between the last update and the publication: nothing is trained again."""
    first = make_trainer(task, "annealing", 12).run()
    second = make_trainer(task, "annealing", 12, on_selection=_kill_at(0)).run()
    assert _same(first.model.state_dict(), second.model.state_dict())
    assert (first.score, first.log) == (second.score, second.log)


@pytest.mark.parametrize("method", ["kd", "mate"])
def test_the_seed_decides_everything(make_trainer: Callable[..., Trainer], task: TinyTask, method: str) -> None:
    """Same seed, same bits; another seed, another student; the initial model being the same."""
    weights = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(len(weights))
        trainer = make_trainer(task, method, 6, folder=folder, seed=seed, settings=SETTINGS, model=_fresh(task))
        trainer.run()
        weights.append(trainer.last_weights())
    assert _same(weights[0], weights[1]) and not _same(weights[0], weights[2])


def _fresh(task: TinyTask) -> Any:
    from kdbench.locations import Locations
    from kdbench.models.build import Head, build_model
    from kdbench.models.spec import ModelSource, ModelSpec, TinyBert

    spec = ModelSpec(name="tiny", source=ModelSource(tiny=TinyBert(layers=2, hidden=16)))
    return build_model(spec, Head("text-classification", task.head.outputs), Locations(offline=True), seed=1)
