"""Joining results: what goes together makes one leaderboard, what does not is refused whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kdbench.bundles.merge import Merged, merge
from kdbench.manifest import read_manifests
from kdbench.reports.table import Leaderboard, build_leaderboard
from kdbench.store import Store
from tests.bundles.forger import Forger
from tests.bundles.tiny_run import only_manifest, part_of, write_manifest
from tests.conftest import contents


def _board(store: Store) -> Leaderboard:
    return build_leaderboard(store, only_manifest(store))


def _files(root: Path) -> list[Path]:
    return sorted(root.rglob("*")) if root.exists() else []


def test_round_trip(store: Store, bundle: Path, tmp_path: Path) -> None:
    """Export, merge into a new store, report: the same numbers from the same bytes; then nothing is left to add."""
    target = Store(tmp_path / "new")
    merged = merge([bundle], target)
    assert not merged.refused and merged.added == len(list(store.root.glob("cells/*/*"))) and not merged.notes
    original = contents(store.root)
    assert contents(target.root).items() <= original.items()
    assert not list(target.root.rglob("*.safetensors")) and not list(target.root.glob("work/*"))
    assert _board(target).values == _board(store).values
    again = merge([bundle], target)
    assert (again.added, again.known, again.manifests) == (0, merged.added, [])


@pytest.mark.parametrize("at_once", [True, False])
def test_methods_of_two_machines(store: Store, tmp_path: Path, at_once: bool) -> None:
    """Together, or one after the other: one store with both."""
    parts = [part_of(store, tmp_path, methods=methods) for methods in (("finetune", "kd"), ("takd",))]
    target = Store(tmp_path / "new")
    for paths in [parts] if at_once else [[part] for part in parts]:
        assert not merge(paths, target).refused
    board = _board(target)
    assert board.methods("tiny-l4-l2") == ["teacher", "finetune", "kd", "takd"]
    assert board.values == _board(store).values
    assert len(only_manifest(target).commands) == 1 and str(tmp_path) not in only_manifest(target).commands[0]


def test_seeds_of_two_machines(store: Store, tmp_path: Path) -> None:
    parts = [part_of(store, tmp_path, seeds=(seed,)) for seed in (1, 2)]
    assert not merge(parts, Store(tmp_path / "new")).notes


def test_seed_that_is_still_to_come_is_noted(store: Store, tmp_path: Path) -> None:
    """Each source is whole by itself; the leaderboard is not yet."""
    parts = [part_of(store, tmp_path, methods=("kd",)), part_of(store, tmp_path, methods=("takd",), seeds=(1,))]
    merged = merge(parts, Store(tmp_path / "new"))
    assert not merged.refused
    assert "takd on sentences, tiny-l4-l2, seed 2, training" in {note.cell for note in merged.notes}


def test_weights_of_the_target_stay(store: Store, bundle: Path, tmp_path: Path) -> None:
    target = Store(tmp_path / "copy")
    shutil.copytree(store.root, target.root)
    before = contents(target.root)
    merge([bundle], target)
    assert contents(target.root) == before


def test_other_versions_stay_apart(store: Store, bundle: Path, tmp_path: Path) -> None:
    target = Store(tmp_path / "new")
    older = only_manifest(store).model_copy(update={"version": "older", "rows": [], "order": 7})
    write_manifest(target, older)
    merge([bundle], target)
    assert {(m.version, m.order) for m in read_manifests(target)} == {("older", 7), (only_manifest(store).version, 8)}


def _refused(merged: Merged, root: Path, before: list[Path]) -> str:
    assert merged.refused
    assert _files(root) == before, "nothing was written"
    return "\n".join(map(str, [*merged.conflicts, *(f for source in merged.sources for f in source.findings)]))


def test_source_with_findings_is_refused_with_all_others(forger: Forger, bundle: Path, tmp_path: Path) -> None:
    forger.edit(forger.key("kd", 1, "in_domain"), lambda record: record["metrics"].update(accuracy=0.99))
    words = _refused(merge([bundle, forger.seal()], Store(tmp_path / "new")), tmp_path / "new", [])
    assert "accuracy: stated 0.99" in words


def test_two_results_of_one_cell(forger: Forger, bundle: Path, tmp_path: Path) -> None:
    """Between sources, and with what the store has: both are plausible, one is not this training's."""
    forger.edit(forger.key("kd", 1), lambda record: record["cost"].update(live_teacher_updates=12345))
    other = forger.seal()
    words = _refused(merge([bundle, other], Store(tmp_path / "new")), tmp_path / "new", [])
    assert "have different results of the same cell" in words and forger.key("kd", 1) in words
    target = Store(tmp_path / "filled")
    merge([bundle], target)
    before = _files(target.root)
    assert "have different results of the same cell" in _refused(merge([other], target), target.root, before)


def test_two_cells_for_one_place(forger: Forger, bundle: Path, tmp_path: Path) -> None:
    """One group trained all its students longer: consistent by itself, but another experiment."""
    for method in ("finetune", "kd", "takd"):
        for seed in (1, 2):
            forger.respec(forger.key(method, seed), lambda spec: spec["budget"].update(epochs=9.0))
    other = forger.seal()
    words = _refused(merge([bundle, other], Store(tmp_path / "new")), tmp_path / "new", [])
    assert "kd on sentences, tiny-l4-l2, seed 1, training" in words
    assert "have different cells for one place: they differ in budget.epochs" in words


def test_one_method_with_two_settings(forger: Forger, store: Store, tmp_path: Path) -> None:
    """Told as such, not only by its cells."""
    for seed in (1, 2):
        forger.respec(forger.key("kd", seed), lambda spec: spec["method"][0]["config"].update(temperature=99.0))
    (parts,) = forger.manifest["methods"]["kd"]["parts"].values()
    parts[0]["config"]["temperature"] = 99.0
    words = _refused(
        merge([part_of(store, tmp_path, methods=("kd",)), forger.seal()], Store(tmp_path / "new")), tmp_path / "new", []
    )
    assert "method kd has other settings in" in words


def test_sources_that_do_not_agree(forger: Forger, store: Store, tmp_path: Path) -> None:
    """Each consistent by itself: the second attacked its only method with another budget."""
    for method in ("finetune", "kd"):
        for seed in (1, 2):
            forger.drop(method, seed)
    for row in [row for row in forger.manifest["rows"] if row["evaluation"] == "attack"]:
        forger.respec(row["key"], lambda spec: spec.update(query_budget=5000))
    for evaluation in ("quality", "attack"):
        teacher = forger.key("teacher", 0, evaluation)
        forger.manifest["rows"] = [row for row in forger.manifest["rows"] if row["key"] != teacher]
        forger.remove(teacher)
    first = part_of(store, tmp_path, methods=("finetune", "kd"))
    words = _refused(merge([first, forger.seal()], Store(tmp_path / "new")), tmp_path / "new", [])
    assert "takd on sentences, tiny-l4-l2, seed 1, attack deepwordbug" in words and "another query budget" in words


def test_interrupted_merge_shows_nothing_and_goes_on(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells may be there; the manifest, which makes them seen, comes last."""
    target = Store(tmp_path / "new")
    adopt, calls = Store.adopt, []

    def interrupted(self: Store, *arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        adopt(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Store, "adopt", interrupted)
        with pytest.raises(KeyboardInterrupt):
            merge([bundle], target)
    assert not read_manifests(target)
    merged = merge([bundle], target)
    assert merged.known == 4 and len(read_manifests(target)) == 1
