from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session", autouse=True)
def attack_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All tests here share one prepared cache, and never the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """Small tensors in several threads cost more than they gain, above all on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def bag() -> ModuleType:
    """The script ``bag_of_words.py`` as a module."""
    path = Path(__file__).with_name("bag_of_words.py")
    spec = importlib.util.spec_from_file_location("kdbench_attacks_bag_of_words", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
