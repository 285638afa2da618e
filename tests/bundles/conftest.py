from __future__ import annotations

from pathlib import Path

import pytest

from kdbench.bundles.archive import unpack
from kdbench.store import Store
from tests.bundles.forger import Forger
from tests.bundles.tiny_run import bundle_of, finished_store


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A finished store; not to be written to."""
    return finished_store(tmp_path_factory.getbasetemp())


@pytest.fixture
def bundle(store: Store) -> Path:
    """Its bundle; not to be written to."""
    return bundle_of(store)


@pytest.fixture
def forger(bundle: Path, tmp_path: Path) -> Forger:
    """The bundle unpacked, to be forged."""
    folder = tmp_path / "forged"
    folder.mkdir()
    unpack(bundle, folder)
    return Forger(folder)
