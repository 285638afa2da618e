"""A folder of attacks that several commands write to."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kdbench.errors import StoreError
from kdbench.victims.attack import Attacked
from kdbench.victims.results import Results, summarize_attack

ATTACKED = Attacked(pd.DataFrame({"id": ["a", "b"], "outcome": ["success", "failed"]}), {"accuracy_under_attack": 0.5})


def _keep(results: Results, name: str) -> None:
    results.keep(name, summarize_attack(f"{name}/1", ATTACKED, 1.0), ATTACKED)


def test_two_commands_lose_nothing_of_each_other(tmp_path: Path) -> None:
    """Both began before the other had finished anything."""
    first, second = (Results(tmp_path / "here", {"seed": 0}) for _ in range(2))
    for results, name in ((first, "pwws"), (second, "pruthi"), (first, "leap")):
        _keep(results, name)
    known = Results(tmp_path / "here", {"seed": 0})
    assert all(known.finished(name, f"{name}/1") for name in ("pwws", "pruthi", "leap"))
    assert set(first.as_json()["attacks"]) == {"pwws", "leap"}, "what another was asked for is not this one's to show"


def test_two_commands_of_other_settings_do_not_mix(tmp_path: Path) -> None:
    first, second = (Results(tmp_path / "here", {"seed": seed}) for seed in (0, 1))
    _keep(first, "pwws")
    with pytest.raises(StoreError, match="holds attacks with seed 0, not 1: choose another --out"):
        _keep(second, "pruthi")
    assert not (tmp_path / "here" / "pruthi.parquet").exists()


def test_a_folder_that_can_be_written_stays_empty(tmp_path: Path) -> None:
    Results(tmp_path / "here", {}).create()
    assert not list((tmp_path / "here").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file/here: cannot be written: Not a directory"):
        Results(tmp_path / "file" / "here", {}).create()
