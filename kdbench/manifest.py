"""Manifests: what was asked for, kept in the store so that reports need no plan, data or plugin."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError

from kdbench.errors import ReportError
from kdbench.hashing import canonical_json
from kdbench.locks import locked
from kdbench.methods.registry import METHODS
from kdbench.plan import Plan
from kdbench.planning import method_view
from kdbench.rows import TEACHER, Row, Skipped
from kdbench.schema import Spec
from kdbench.store import Store, write_atomic


class MethodInfo(Spec):
    """What a leaderboard says about a method."""

    cite: str = ""
    parts: dict[str, list[dict[str, Any]]] = Field(
        default_factory=dict, description="kind of task -> parts with their settings and who provides them"
    )


class Manifest(Spec):
    """Everything that has been asked of one suite version under one budget."""

    suite: str
    suite_version: int
    budget: str
    version: str
    description: str = ""
    study: str = ""
    kinds: dict[str, str] = Field(description="task -> kind")
    students: dict[str, str] = Field(default_factory=dict, description="pair -> name of its student")
    metrics: dict[str, list[str]] = Field(description="task -> metrics, the primary one first")
    methods: dict[str, MethodInfo]
    rows: list[Row]
    skipped: list[Skipped] = Field(default_factory=list)
    commands: list[str] = Field(default_factory=list)
    order: int = 0


def update_manifest(store: Store, plan: Plan, command: str) -> Manifest:
    """Add a plan to what the store has been asked for; the newest plan wins a contested place.

    A method that comes back with other settings starts anew: its old rows would not be comparable.
    """
    path = store.root / "plans" / f"{plan.suite.name}-{plan.budget}-{plan.version}.json"
    with locked(store.root / "plans" / ".lock"):
        known = [m for m in read_manifests(store) if m.suite == plan.suite.name]
        old = next((m for m in known if m.version == plan.version and m.budget == plan.budget), None)
        methods = _method_infos(plan)
        before = old.methods if old else {}
        kept = [r for r in (old.rows if old else []) if methods.get(r.method, before[r.method]) == before[r.method]]
        rows = {row.place: row for row in (*kept, *plan.rows)}
        skipped = {item.place: item for item in (*(old.skipped if old else []), *plan.skipped)}
        filled = {(row.task, row.evaluation, row.dataset) for row in rows.values()}
        tasks = plan.suite.tasks
        manifest = Manifest(
            suite=plan.suite.name,
            suite_version=plan.suite.version,
            budget=plan.budget,
            version=plan.version,
            description=plan.suite.description,
            study=plan.suite.study,
            students={name: pair.student.name for name, pair in plan.suite.pairs.items()},
            kinds={name: task.kind for name, task in tasks.items()},
            metrics={name: list(task.metrics) for name, task in tasks.items()},
            methods={**before, **methods},
            rows=list(rows.values()),
            skipped=[item for place, item in skipped.items() if place[1:] not in filled],
            commands=list(dict.fromkeys([*(old.commands if old else []), command])),
            order=max((m.order for m in known), default=0) + 1,
        )
        write_atomic(path, canonical_json(manifest.model_dump(mode="json")))
    return manifest


def _method_infos(plan: Plan) -> dict[str, MethodInfo]:
    infos = {TEACHER: MethodInfo()}
    for name, kinds in plan.methods.items():
        parts = {kind: method_view(method) for kind, method in kinds.items() if method}
        names = dict.fromkeys(part["name"] for views in parts.values() for part in views)
        infos[name] = MethodInfo(cite="; ".join(METHODS.get(part).cite for part in names), parts=parts)
    return infos


def read_manifests(store: Store) -> list[Manifest]:
    """All readable manifests of a store."""
    found = []
    for path in sorted((store.root / "plans").glob("*.json")):
        try:
            found.append(Manifest.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue
    return found


def find_manifest(store: Store, suite: str, budget: str = "", version: str = "") -> tuple[Manifest, list[Manifest]]:
    """The newest manifest that fits, and the others of the same suite, which are never mixed in.

    Raises:
        ReportError: nothing fits.
    """
    known = sorted((m for m in read_manifests(store) if m.suite == suite), key=lambda m: -m.order)
    fitting = [m for m in known if (not budget or m.budget == budget) and m.version.startswith(version)]
    if not fitting:
        have = ", ".join(sorted({m.suite for m in read_manifests(store)})) or "nothing"
        options = {"budget": budget, "version": version}
        wanted = f"suite {suite}" + "".join(f", {name} {value}" for name, value in options.items() if value)
        raise ReportError(f"{store.root}: holds no run of {wanted} (it holds {have}); run it first: kdbench run …")
    return fitting[0], [m for m in known if m is not fitting[0]]
