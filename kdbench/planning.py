"""Small pure functions of the planner: choosing by name, and writing things down for specs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from kdbench.budget import Budget
from kdbench.errors import PlanError
from kdbench.machine import supports_bf16
from kdbench.methods.base import Method
from kdbench.methods.registry import METHODS


def choose(kind: str, known: Any, wanted: Iterable[str]) -> list[Any]:
    """The definitions of the wanted names, in the suite's order; all of them when none is wanted."""
    names = tuple(wanted)
    unknown = [name for name in names if name not in known]
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(known)}"
        raise PlanError(f"the suite has no {kind} '{unknown[0]}': {hint}")
    return [value for name, value in known.items() if not names or name in names]


def resolve_precision(budget: Budget, device: str) -> Budget:
    """``auto`` becomes what this machine is good at: keys and records name the precision that was used."""
    if budget.precision != "auto":
        return budget
    return budget.model_copy(update={"precision": "bf16" if supports_bf16(device) else "fp32"})


def method_view(method: Method) -> list[dict[str, Any]]:
    """Of a method, what can change a training: its parts, their settings and who provides them."""
    return [
        {"name": part.name, "config": part.config.model_dump(mode="json"), "source": METHODS.source(part.name)}
        for part in method.parts()
    ]


def upstream_keys(spec: dict[str, Any]) -> list[str]:
    """Keys of the cells that a spec is built on."""
    return _flat(spec.get("upstream", {}).values())


def _flat(values: Iterable[Any]) -> list[str]:
    found: list[str] = []
    for value in values:
        found += _flat(value) if isinstance(value, list) else [value] if value else []
    return found


def plain(value: Any) -> Any:
    """Tuples to lists: what JSON gives back."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
