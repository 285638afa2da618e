"""The console everything is printed to, and tables that several commands print."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from kdbench.plan import Plan
from kdbench.store import Store

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def print_json(value: Any) -> None:
    """Indented JSON on standard output."""
    console.print_json(json.dumps(value)) if console.is_terminal else print(json.dumps(value, indent=2))  # noqa: T201


def plan_summary(plan: Plan, store: Store) -> dict[str, Any]:
    """The plan as plain data: cells by kind, what is done, what training costs."""
    done = {key for key in plan.cells if store.record(key)}
    kinds = {
        kind: {
            "cells": sum(cell.kind == kind for cell in plan.cells.values()),
            "done": sum(plan.cells[key].kind == kind for key in done),
            "failed": sum(c.kind == kind and store.failure(c.key) is not None for c in plan.cells.values()),
        }
        for kind in ("teacher", "student", "evaluation")
    }
    seconds = _estimate(plan, store, done)
    return {
        "suite": plan.suite.name,
        "budget": plan.budget,
        "version": plan.version,
        "cells": kinds,
        "estimated_cpu_seconds_left": seconds,
        "methods": {
            name: {
                "relative_student_updates": cost.student_updates / 1000,
                "live_teacher_share": cost.live_teacher_updates / cost.student_updates,
                "cached_checkpoints": cost.cached_checkpoints,
                "generator_updates_per_1000": cost.generator_updates,
                "adversarial_passes_per_1000": cost.adversarial_passes,
                "assistants": cost.assistants,
            }
            for name, cost in plan.costs.items()
        },
        "skipped": [item.model_dump() for item in plan.skipped],
    }


def show_plan(plan: Plan, store: Store) -> None:
    """Print the plan for people."""
    summary = plan_summary(plan, store)
    table = Table(title=f"{plan.suite.name}, budget {plan.budget}, version {plan.version}", title_justify="left")
    for column in ("cells", "planned", "done", "failed before", "missing"):
        table.add_column(column, justify="left" if column == "cells" else "right")
    for kind, counts in summary["cells"].items():
        missing = counts["cells"] - counts["done"]
        table.add_row(kind, str(counts["cells"]), str(counts["done"]), str(counts["failed"]), str(missing))
    console.print(table)
    table = Table(title="cost of one training, in student updates of the budget", title_justify="left")
    for column in ("method", "student", "live teacher", "cached teachers", "generator", "attacks", "assistants"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, cost in summary["methods"].items():
        table.add_row(
            name,
            f"{cost['relative_student_updates']:.2f}×",
            f"{cost['live_teacher_share']:.2f}×",
            str(cost["cached_checkpoints"]),
            f"{cost['generator_updates_per_1000'] / 1000:.2f}×",
            f"{cost['adversarial_passes_per_1000'] / 1000:.2f}×",
            str(cost["assistants"]),
        )
    console.print(table)
    seconds = summary["estimated_cpu_seconds_left"]
    if seconds is None:
        console.print("time left: unknown until a teacher, a student and an evaluation have finished once")
    else:
        console.print(f"time left: about {seconds / 60:.0f} worker minutes, judging by the finished cells")
    for item in plan.skipped:
        line = f"not here: {item.task} {item.evaluation} {item.dataset}: {item.reason}"
        console.print(line, soft_wrap=True, markup=False)


def _estimate(plan: Plan, store: Store, done: set[str]) -> float | None:
    """Seconds of work left, from the times of finished cells of the same kind."""
    rates: dict[str, list[float]] = {"teacher": [], "student": [], "evaluation": []}
    for key in done:
        info = store.run_info(key)
        if info:
            rates[plan.cells[key].kind].append(info.wall_seconds / plan.cells[key].weight)
    total = 0.0
    for key, cell in plan.cells.items():
        if key in done:
            continue
        if not rates[cell.kind]:
            return None
        total += cell.weight * sum(rates[cell.kind]) / len(rates[cell.kind])
    return total
