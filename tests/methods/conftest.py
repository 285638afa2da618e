"""One thread: the machine is shared, and tiny tensors gain nothing from more."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Torch computes on one core."""
    torch.set_num_threads(1)
