"""The report as JSON: the same plain data that every other format is made of."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from kdbench.reports.entries import plain
from kdbench.reports.model import Report


def to_json(report: Report) -> str:
    """All of it, numbers in natural units; ``null`` where there is no number."""
    return json.dumps(_plain(asdict(report)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return plain(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
