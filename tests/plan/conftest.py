"""Plans of the tiny suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdbench.locations import Locations
from kdbench.plan import Plan, Selection, make_plan
from kdbench.suite import load_suite
from tests.plan.tiny import Change, write_suite


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    """Plans the tiny suite with a change."""

    def make(change: Change = lambda _: None, selection: Selection | None = None, **options: Any) -> Plan:
        suite = load_suite(write_suite(tmp_path, change))
        return make_plan(suite, selection or Selection(), Locations(offline=True), **options)

    return make
