"""Every number of a record once more, from its outcomes, by the functions the evaluations themselves use."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kdbench.answers.metrics import compute_answer_metric
from kdbench.bundles.attack_outcomes import attacked, rated, transferred
from kdbench.bundles.outcomes import Recomputed, read_examples
from kdbench.hashing import digest
from kdbench.predictions.labels import own_classes
from kdbench.record import EXAMPLES_FILE, Record
from kdbench.stats.corruption import mean_corruption_accuracy
from kdbench.store import Store
from kdbench.tasks.metrics import compute_metric


def recompute(store: Store, record: Record) -> Recomputed:
    """Compute a finished cell's numbers from its own files and those of the cells it is built on.

    Raises:
        StoreError: outcomes are missing or cannot be read.
        Exception: anything, where a file does not have the form that an evaluation gives it.
    """
    if record.kind != "evaluation":
        return _training(store, record)
    evaluation = str(record.spec["evaluation"])
    function = _EVALUATIONS.get(evaluation)
    if function is None:
        return Recomputed(untold=("parameters", "non_embedding_parameters", "weights_mb", "flops"))
    table = read_examples(store, record.key)
    result = function(store, record, table)
    if evaluation != "quality":  # its examples are the successes of one attack on one model
        columns = [name for name in ("id", "label") if name in table]
        result.sample = digest([table[name].astype(str).tolist() for name in columns])
    if "id" in table and evaluation != "corruption" and table["id"].duplicated().any():
        result.problems.append("an example stands twice in the outcomes")
    return result


def _training(store: Store, record: Record) -> Recomputed:
    """The best selection score of a teacher's trajectory, or of a student's last stage."""
    metric = next(iter(record.metrics))
    details: dict[str, Any] = record.details
    if record.kind == "teacher":
        trajectory = json.loads((store.cell(record.key) / "trajectory.json").read_text(encoding="utf-8"))
        best = max(trajectory, key=lambda entry: (entry["score"], -entry["index"]))
        return Recomputed({metric: best["score"]}, {"best_checkpoint": best["index"]})
    start = sum([stage["updates"] for stage in details["stages"] if stage["updates"]][:-1])
    scores = [entry["selection"] for entry in details["selections"] if entry["step"] > start]
    log = (store.cell(record.key) / "log.jsonl").read_text(encoding="utf-8").splitlines()
    logged = [entry for entry in map(json.loads, log) if "selection" in entry]
    updates = sum(stage["updates"] for stage in details["stages"])
    return Recomputed({metric: max(scores)}, {"selections": logged}, {"student_updates": updates})


def _predicted(store: Store, record: Record, table: pd.DataFrame) -> Recomputed:
    """In-domain and out-of-domain sets."""
    spec: dict[str, Any] = record.spec
    result = Recomputed(cost={"forward_examples": len(table)})
    score = _scorer(spec["task"]["kind"], table)
    everything = np.arange(len(table))
    result.metrics = {name: score(name, everything) for name in spec["metrics"]}
    groups: dict[str, dict[str, float]] = {}
    if "group" in table:
        for name in sorted(set(table["group"])):
            rows = np.flatnonzero(table["group"] == name)
            groups[name] = {spec["metrics"][0]: score(spec["metrics"][0], rows), "examples": float(len(rows))}
    result.details = {"examples": len(table), "groups": groups}
    if spec["task"]["kind"] != "question-answering":
        logits = [name for name in map(str, table.columns) if name.startswith("logit_")]
        if not _follows_from_logits(spec, table, table[sorted(logits, key=lambda name: int(str(name)[6:]))].to_numpy()):
            result.problems.append("predictions are not what the logits say")
    return result


def _scorer(kind: str, table: pd.DataFrame) -> Callable[[str, np.ndarray], float]:
    label = table["label"].to_numpy()
    if kind == "question-answering":
        exact, f1 = table["exact_match"].to_numpy(), table["token_f1"].to_numpy()
        return lambda name, rows: compute_answer_metric(name, exact[rows], f1[rows], label[rows].astype(bool))
    prediction = table["prediction"].to_numpy()
    return lambda name, rows: compute_metric(name, prediction[rows], label[rows])


def _follows_from_logits(spec: dict[str, Any], table: pd.DataFrame, logits: np.ndarray) -> bool:
    if spec["task"]["kind"] == "text-regression":
        return bool((table["prediction"].to_numpy() == logits[:, 0]).all())
    classes = own_classes(spec["dataset"], spec["task"]["labels"])
    return bool((classes[logits.argmax(-1)] == table["prediction"]).all())


def _corrupted(store: Store, record: Record, table: pd.DataFrame) -> Recomputed:
    right = table["prediction"] == table["label"]
    means = right.groupby([table["corruption"], table["severity"]], observed=True).mean()
    accuracy: dict[str, dict[str, float]] = {}
    for name in means.index.unique(0):
        accuracy[str(name)] = {str(severity): float(value) for severity, value in means[name].items()}
    cases = int(means.size)
    examples = len(table) // max(1, cases)
    return Recomputed(
        {"corruption_accuracy": mean_corruption_accuracy(accuracy)},
        {"accuracy": accuracy, "examples": examples},
        {"forward_examples": examples + len(table)},
        untold=("clean_accuracy",),
    )


def _footsteps(store: Store, record: Record, table: pd.DataFrame) -> Recomputed:
    spec: dict[str, Any] = record.spec
    details: dict[str, Any] = record.details
    metric = spec["metrics"][0]
    result = Recomputed(details={"examples": len(table)})
    if spec["task"]["kind"] == "question-answering":
        result.untold = (f"best_{metric}",)  # how right an answer was is not kept
        return result
    checkpoints = details["checkpoints"]
    label = table["label"].to_numpy()
    scores = [compute_metric(metric, table[f"prediction_{c['index']}"].to_numpy(), label) for c in checkpoints]
    result.details["checkpoints"] = [c | {"score": s} for c, s in zip(checkpoints, scores, strict=True)]
    result.metrics = {f"best_{metric}": max(scores)}
    return result


def _run_again(store: Store, record: Record, table: pd.DataFrame) -> Recomputed:
    """Evaluations of what other evaluations kept: nothing but the evaluation itself, run once more."""
    import importlib

    from kdbench.cells.job import Job
    from kdbench.locations import Locations

    module = importlib.import_module(f"kdbench.evaluations.{record.spec['evaluation']}")
    with tempfile.TemporaryDirectory(prefix="kdbench-verify-") as scratch:
        out = Path(scratch)
        found = module.run(Job(record.key, record.spec, {}, store, Locations(), out, out))
        again = pd.read_parquet(out / EXAMPLES_FILE)
    result = Recomputed(found.metrics, found.details, found.cost, found.flags)
    if not _same(again, table):
        result.problems.append("outcomes are not what the outcomes they are computed from say")
    return result


def _same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Equal up to rounding, which differs between versions of libraries."""
    try:
        pd.testing.assert_frame_equal(one, other, check_dtype=False, rtol=1e-6, atol=1e-9)
    except AssertionError:
        return False
    return True


_EVALUATIONS: dict[str, Callable[[Store, Record, pd.DataFrame], Recomputed]] = {
    "in_domain": _predicted,
    "ood": _predicted,
    "attack": attacked,
    "transfer": transferred,
    "quality": rated,
    "corruption": _corrupted,
    "trajectory": _footsteps,
    "fidelity": _run_again,
    "calibration": _run_again,
}
