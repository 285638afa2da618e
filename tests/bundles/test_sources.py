"""What can be opened, and what is said of what cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdbench.bundles.sources import open_source
from kdbench.bundles.verify import verify
from kdbench.errors import StoreError
from kdbench.store import Store
from tests.bundles.forger import Forger


def _complaint(path: Path) -> str:
    with pytest.raises(StoreError) as caught, open_source(path):
        pass
    return str(caught.value)


def test_store_is_verified_like_its_bundle(store: Store, bundle: Path) -> None:
    results = []
    for path in (store.root, bundle):
        with open_source(path) as source:
            result, _ = verify(source)
            results.append((result.cells, result.numbers, result.not_recomputed, result.findings))
    assert results[0] == results[1] and results[0][0] == len(list(store.root.glob("cells/*/*")))
    assert results[0][2] == {"efficiency": 28}, "of seven models four sizes each"


def test_neither_bundle_nor_store(tmp_path: Path) -> None:
    assert _complaint(tmp_path / "none") == f"{tmp_path / 'none'}: no such bundle or store"
    assert _complaint(tmp_path) == f"{tmp_path}: is neither a bundle nor a store: it has no plans/*.json"


def test_newer_bundle(forger: Forger) -> None:
    path = forger.folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"format": 2}), encoding="utf-8")
    assert "bundle.json: format: Input should be 1; a newer kdbench may have made it" in _complaint(forger.folder)


@pytest.mark.parametrize("name", ["../../evil", ""])
def test_names_that_would_lead_outside(forger: Forger, name: str) -> None:
    """A manifest is written under its suite's name."""
    forger.manifest["suite"] = name
    assert "suite, budget and version must be plain names" in _complaint(forger.seal())


def test_rows_whose_cells_would_lie_outside(forger: Forger) -> None:
    forger.manifest["rows"][0]["key"] = "../../../x"
    assert "a row's cell is named by something that is no key" in _complaint(forger.seal())
