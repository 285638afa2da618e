"""Whether every cell is what its row in the tables says: method, seed, teacher, and the model it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from kdbench.bundles.findings import Finding, record_file
from kdbench.manifest import Manifest
from kdbench.planning import upstream_keys
from kdbench.record import Record
from kdbench.rows import BASELINE, TEACHER, Row


def check_places(manifest: Manifest, records: Mapping[str, Record]) -> list[Finding]:
    """Compare every finished row with its cell's spec.

    Args:
        manifest: the rows.
        records: by key; rows without are left out.
    """
    tables = _Tables(manifest, records)
    count = Counter(row.place for row in manifest.rows)
    twice = {row.place: row for row in manifest.rows if count[row.place] > 1}
    findings = [Finding("stands twice in the manifest: it would count twice", row.describe()) for row in twice.values()]
    for row in manifest.rows:
        if row.key in records:
            check = tables.evaluation if row.evaluation else tables.training
            problems = check(row, records[row.key])
            findings += [Finding(what, row.describe(), record_file(row.key)) for what in problems]
    return findings


class _Tables:
    """The rows by place."""

    def __init__(self, manifest: Manifest, records: Mapping[str, Record]) -> None:
        self.manifest = manifest
        self.records = records
        self.keys = {row.place: row.key for row in manifest.rows}
        self.teachers = {(row.pair, row.task): row for row in manifest.rows if row.method == TEACHER}

    def training(self, row: Row, record: Record) -> Iterator[str]:
        """What is wrong with a training, one sentence each."""
        spec: dict[str, Any] = record.spec
        kind = "teacher" if row.method == TEACHER else "student"
        if record.kind != kind or spec["kind"] != kind:
            yield f"the row is of a {kind}, the cell is of kind {record.kind}"
            return
        if spec["seed"] != row.seed:
            yield f"the row is of seed {row.seed}, the cell of seed {spec['seed']}"
        if spec["task"]["name"] != row.task:
            yield f"the row is of task {row.task}, the cell of task {spec['task']['name']}"
        if spec["task"]["kind"] != self.manifest.kinds[row.task]:
            yield f"the manifest calls the task {self.manifest.kinds[row.task]}, the cell {spec['task']['kind']}"
        if kind == "teacher":
            return
        info = self.manifest.methods.get(row.method)
        if info is None or spec["method"] != info.parts.get(self.manifest.kinds[row.task]):
            yield f"the cell was trained by another method or other settings than the manifest says of {row.method}"
        for key in self._teachers_of(row.key) - {self._key(self._teacher(row), "", "")}:
            yield f"taught by cell {key[:12]}, which is not the teacher of pair {row.pair}"

    def evaluation(self, row: Row, record: Record) -> Iterator[str]:
        """What is wrong with an evaluation."""
        spec: dict[str, Any] = record.spec
        if record.kind != "evaluation" or spec["evaluation"] != row.evaluation:
            yield f"the row is of evaluation {row.evaluation}, the cell of {spec.get('evaluation', record.kind)}"
            return
        if "attack" in spec and spec["attack"]["name"] != row.dataset:
            yield f"the row is of attack {row.dataset}, the cell of {spec['attack']['name']}"
        if row.evaluation == "in_domain" and spec["metrics"] != self.manifest.metrics[row.task]:
            yield f"the manifest judges by {self.manifest.metrics[row.task]}, the cell by {spec['metrics']}"
        model, teacher = self._key(row, "", ""), self._teacher(row)
        in_domain, attack = ("in_domain", row.task), ("attack", row.dataset)
        wanted = {
            "fidelity": {"model": self._key(row, *in_domain), "teacher": self._key(teacher, *in_domain)},
            "calibration": {"model": self._key(row, *in_domain)},
            "transfer": {"model": model, "source": self._key(teacher, *attack), "own": self._key(row, *attack)},
            "quality": {"attack": self._key(row, *attack)},
        }.get(row.evaluation, {"model": model})
        if "baseline" in spec["upstream"]:
            baseline = row.model_copy(update={"method": BASELINE})
            wanted["baseline"] = self._key(baseline, *attack)
        for role, key in wanted.items():
            found = spec["upstream"].get(role)
            if found != key:
                known = f"its own is {key[:12]}" if key else "the manifest has none for it"
                yield f"is about {_ROLES[role]} in cell {str(found)[:12]}, but {known}: this is another's result"

    def _teacher(self, row: Row) -> Row | None:
        return self.teachers.get((row.pair, row.task))

    def _key(self, row: Row | None, evaluation: str, dataset: str) -> str:
        """The cell of another evaluation of the same model, or its training."""
        return self.keys.get((*row.place[:4], evaluation, dataset), "") if row else ""

    def _teachers_of(self, key: str) -> set[str]:
        """Keys of the teachers a training learnt from, directly or through assistants."""
        found: set[str] = set()
        waiting = upstream_keys(self.records[key].spec)
        while waiting:
            above = waiting.pop()
            record = self.records.get(above)
            if record is not None and record.kind == "student":
                waiting += upstream_keys(record.spec)
            else:
                found.add(above)
        return found


_ROLES = {
    "model": "the model",
    "teacher": "the teacher's outcomes",
    "source": "the attack on the teacher",
    "own": "the student's own attack",
    "baseline": "the attack on the finetune student",
    "attack": "the attack",
}
