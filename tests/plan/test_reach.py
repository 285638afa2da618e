"""A training reads the training data it was planned with, and nothing that is reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kdbench.cells.data import load_training
from kdbench.cells.job import Job
from kdbench.errors import DataError
from kdbench.locations import Locations
from kdbench.plan import Cell, Plan
from kdbench.store import Store
from tests.plan.tiny import (
    READER,
    named,
)


def _job(made: Plan, cell: Cell, folder: Path) -> Job:
    return Job(cell.key, cell.spec, made.paths, Store(folder), Locations(offline=True), folder, folder)


def test_a_training_reads_neither_the_reported_split_nor_more_than_its_limit(
    plan: Callable[..., Plan], tmp_path: Path
) -> None:
    """Planned, then the reported files vanish: the training data is all there, split by content."""
    made = plan(lambda suite: suite["budgets"]["quick"].update(max_train=20))
    for name in ("dev", "far"):
        (tmp_path / f"{name}.csv").unlink()
    data = load_training(_job(made, named(made, "kd"), tmp_path), READER)
    assert len(data.train) == 20 and len(data.selection) >= 1 and data.metric == "accuracy" and not data.regression
    rows = [
        {tuple(part.tokens[part.starts[i] : part.starts[i + 1]].tolist()) for i in range(len(part))}
        for part in (data.train, data.selection)
    ]
    assert rows[0].isdisjoint(rows[1])


def test_data_that_changed_after_planning_is_refused(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """The key would lie."""
    made = plan()
    with (tmp_path / "train.csv").open("a") as stream:
        stream.write("\nmore,good")
    with pytest.raises(DataError, match=r"train\.csv: changed after the run was planned"):
        load_training(_job(made, named(made, "kd"), tmp_path), READER)


def test_a_file_that_is_not_where_it_was_planned(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """It says what to do."""
    made = plan()
    (tmp_path / "train.csv").unlink()
    with pytest.raises(DataError, match="split 'train' is not where it was planned: run again from its suite"):
        load_training(_job(made, named(made, "kd"), tmp_path), READER)
