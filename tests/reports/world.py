"""A store filled by hand through its public interface, for tests of reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kdbench.hashing import digest
from kdbench.manifest import Manifest, MethodInfo
from kdbench.record import Record, RunInfo
from kdbench.rows import TEACHER, Row, Skipped
from kdbench.store import Store, write_atomic

EXAMPLES = 50


class World:
    """Plans and finishes cells; ``study`` and the like are what the manifest will say."""

    def __init__(self, root: Path, *, metrics: dict[str, list[str]] | None = None) -> None:
        self.store = Store(root)
        self.store.create()
        self.rows: list[Row] = []
        self.methods: dict[str, MethodInfo] = {}
        self.metrics = metrics or {"t": ["accuracy"]}

    def add(
        self,
        method: str,
        seed: int,
        evaluation: str,
        dataset: str,
        metrics: dict[str, float] | None,
        *,
        pair: str = "p",
        task: str = "t",
        details: dict[str, Any] | None = None,
        cost: dict[str, int] | None = None,
        examples: pd.DataFrame | None = None,
        spec: dict[str, Any] | None = None,
    ) -> str:
        """Plan a cell, and finish it unless it has no metrics. ``spec`` makes cells of several pairs one."""
        spec = spec or {"cell": [pair, task, method, seed, evaluation, dataset]}
        key = digest(spec)
        place = {"pair": pair, "task": task, "method": method, "seed": seed}
        self.rows.append(Row(key=key, evaluation=evaluation, dataset=dataset, **place))
        self.methods.setdefault(method, MethodInfo(cite="A | B"))
        if metrics is not None:
            out = self.store.output(key)
            if examples is not None:
                examples.to_parquet(out / "examples.parquet")
            kind = "evaluation" if evaluation else "teacher" if method == TEACHER else "student"
            record = Record(
                key=key,
                kind=kind,
                spec=spec,
                metrics=metrics,
                details={"examples": EXAMPLES if examples is None else len(examples), **(details or {})},
                cost=cost if cost is not None else {} if evaluation else {"student_updates": 100},
            )
            info = RunInfo(wall_seconds=60, peak_memory_mb=1, started="", host="h", device="cpu", versions={})
            self.store.publish(record, info)
        return key

    def student(
        self,
        method: str,
        seed: int,
        right: np.ndarray | None,
        *,
        pair: str = "p",
        task: str = "t",
        selection: float = 0.5,
        updates: int = 100,
        parameters: int | None = None,
        student: str | None = None,
        shared: bool = False,
    ) -> str:
        """A training and its in-domain evaluation, given which examples it gets right; unfinished without.

        Args:
            parameters: also an efficiency record.
            student: which student the training's spec names.
            shared: the same cell for every pair, as of a method that uses no teacher.
        """
        spec = {"model": student, "cell": [None if shared else pair, task, method, seed]}
        own = {"pair": pair, "task": task}
        key = self.add(
            method,
            seed,
            "",
            "",
            None if right is None else {"selection_accuracy": selection},
            cost={"student_updates": updates, "assistants": int(method == "takd")},
            spec=spec,
            **own,
        )
        table = None if right is None else outcomes(right)
        metrics = None if right is None else {"accuracy": float(np.mean(right))}
        self.add(method, seed, "in_domain", task, metrics, examples=table, spec={**spec, "of": "in_domain"}, **own)
        if parameters:
            self.add(method, seed, "efficiency", task, {"parameters": float(parameters)}, **own)
        return key

    def settings(
        self, method: str, config: dict[str, Any], *, part: str = "", kind: str = "text-classification"
    ) -> None:
        """Write down a method's settings for a kind of task."""
        info = self.methods.get(method, MethodInfo(cite="A | B"))
        parts = [{"name": part or method, "config": config, "source": "kdbench"}]
        self.methods[method] = MethodInfo(cite=info.cite, parts={**info.parts, kind: parts})

    def manifest(
        self,
        suite: str = "s",
        version: str = "v1",
        order: int = 1,
        *,
        description: str = "",
        study: str = "",
        kinds: dict[str, str] | None = None,
        commands: tuple[str, ...] = ("kdbench run --suite s",),
        skipped: tuple[Skipped, ...] = (),
    ) -> Manifest:
        """Write down what was planned."""
        manifest = Manifest(
            suite=suite,
            suite_version=1,
            budget="quick",
            version=version,
            description=description,
            study=study,
            kinds=dict.fromkeys(self.metrics, "text-classification") | (kinds or {}),
            metrics=self.metrics,
            methods=self.methods,
            rows=self.rows,
            skipped=list(skipped),
            commands=list(commands),
            order=order,
        )
        write_atomic(self.store.root / "plans" / f"{suite}-{version}.json", manifest.model_dump_json())
        return manifest


def outcomes(right: np.ndarray) -> pd.DataFrame:
    """Per-example outcomes of a binary task of which these were right."""
    labels = np.arange(len(right)) % 2
    ids = [f"e{index}" for index in range(len(right))]
    return pd.DataFrame({"id": ids, "label": labels, "prediction": np.where(right, labels, 1 - labels)})
