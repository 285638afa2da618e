"""The ``trajectory`` evaluation: how good was the teacher at each of its checkpoints, on the reported split?"""

from __future__ import annotations

import json

import pandas as pd

from kdbench.cells.common import pick_device
from kdbench.cells.data import load_examples, saved_reader
from kdbench.cells.job import CellResult, Job
from kdbench.models.build import load_model
from kdbench.predictions import read_predictions
from kdbench.record import EXAMPLES_FILE
from kdbench.training.predict import predict


def run(job: Job) -> CellResult:
    """The task's primary metric of every checkpoint; ``examples.parquet`` has every checkpoint's predictions."""
    spec, task = job.spec, job.spec["task"]
    metric = spec["metrics"][0]
    cell = job.upstream("model")
    examples = load_examples(job, spec["dataset"], task).sample(spec["limit"], "evaluation-limit")
    data = saved_reader(job, cell).encode(examples)
    table = pd.DataFrame({"id": examples.ids, "label": examples.labels})
    checkpoints = []
    trajectory = json.loads((cell / "trajectory.json").read_text(encoding="utf-8"))
    for entry in trajectory:
        model = load_model(cell / "checkpoints" / f"{entry['index']:03d}").to(pick_device(job))
        predictions = read_predictions(task, examples, data, predict(model, data), spec["dataset"])
        table[f"prediction_{entry['index']}"] = predictions.table()["prediction"]
        checkpoints.append(
            {
                "index": entry["index"],
                "epoch": entry["epoch"],
                "step": entry["step"],
                "selection": entry["score"],
                "score": predictions.score(metric),
            }
        )
        job.report({"stage": "trajectory", "step": len(checkpoints), "total": len(trajectory), "terms": {}})
    table.to_parquet(job.out / EXAMPLES_FILE)
    return CellResult(
        metrics={f"best_{metric}": max(entry["score"] for entry in checkpoints)},
        details={"checkpoints": checkpoints, "examples": len(examples)},
        cost={"forward_examples": len(examples) * len(checkpoints)},
    )
