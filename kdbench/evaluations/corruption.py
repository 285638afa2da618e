"""The ``corruption`` evaluation: accuracy on common corruptions of a sample of the reported split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from kdbench.cells.common import pick_device
from kdbench.cells.data import image_format, load_examples, load_trained, planned_location
from kdbench.cells.job import CellResult, Job
from kdbench.corruptions import COMPUTED
from kdbench.corruptions.compute import corrupt
from kdbench.corruptions.library import library_version
from kdbench.corruptions.prepared import PreparedSet
from kdbench.errors import DataError
from kdbench.hashing import derive_seed
from kdbench.inputs.images import EncodedImages
from kdbench.record import EXAMPLES_FILE
from kdbench.stats.corruption import mean_corruption_accuracy
from kdbench.tasks.dataset import ImageExamples
from kdbench.tasks.spec import Columns, ImageFormat
from kdbench.training.predict import predict

Produce = Callable[[str, int], np.ndarray]


def run(job: Job) -> CellResult:
    """Mean accuracy over corruptions and severities, and on the clean originals of the same sample.

    The sample and its corrupted pixels depend on the data alone, and are made once for all models.
    ``examples.parquet`` has one row for each example, corruption and severity; ``details["accuracy"]``
    is what :func:`kdbench.stats.corruption.mean_corruption_error` compares.
    """
    spec, task = job.spec, job.spec["task"]
    form = image_format(task)
    whole = load_examples(job, spec["dataset"], task)
    if form is None or not isinstance(whole, ImageExamples):
        raise DataError(f"corruptions are of images: task of kind {task['kind']} has none")
    sample = whole.sample(spec["limit"], "corruption")
    originals = sample.pixels(form)
    produce, origin = _producer(job, whole, sample, originals, form)
    model, _ = load_trained(job)
    model = model.to(pick_device(job))

    def predicted(pixels: np.ndarray) -> np.ndarray:
        data = EncodedImages(torch.from_numpy(pixels), sample.labels, form)
        classes: np.ndarray = predict(model, data).argmax(-1)
        return classes

    clean = predicted(originals)
    accuracy: dict[str, dict[str, float]] = {name: {} for name in spec["corruptions"]}
    outcomes = []
    for name, severity in _cases(job):
        pixels = np.load(_cached(job, form, origin, name, severity, produce))
        predictions = predicted(pixels)
        accuracy[name][str(severity)] = float((predictions == sample.labels).mean())
        outcomes.append(predictions)
    _outcomes(sample, job, outcomes).to_parquet(job.out / EXAMPLES_FILE, index=False)
    return CellResult(
        metrics={
            "corruption_accuracy": mean_corruption_accuracy(accuracy),
            "clean_accuracy": float((clean == sample.labels).mean()),
        },
        details={"accuracy": accuracy, "examples": len(sample), "origin": origin},
        cost={"forward_examples": len(sample) * (1 + len(outcomes))},
    )


def _producer(
    job: Job, whole: ImageExamples, sample: ImageExamples, originals: np.ndarray, form: ImageFormat
) -> tuple[Produce, str]:
    """What makes the pixels of one corruption and severity, and the name of where they come from."""
    source, task = job.spec["source"], job.spec["task"]
    if source is None:
        library = library_version()
        if library != job.spec["library"]:
            raise DataError(f"corruptions were planned with {job.spec['library']}, here is {library}: run again")
        seeds = [derive_seed("corruption", identity) for identity in sample.ids]
        return lambda name, severity: corrupt(originals, name, severity, seeds), f"{COMPUTED}, {library}"
    rows = {identity: row for row, identity in enumerate(whole.ids)}
    prepared = PreparedSet(
        located=planned_location(job, source),
        columns=Columns.model_validate(source["columns"]),
        labels=source["labels"] or task["labels"],
        label_map=dict(source["label_map"]),
    )
    chosen = np.array([rows[identity] for identity in sample.ids])
    return lambda name, severity: prepared.pixels(name, severity, whole, chosen, form), source["fingerprint"]


def _cached(job: Job, form: ImageFormat, origin: str, name: str, severity: int, produce: Produce) -> Path:
    """The file with the pixels, ``(n, size, size, channels)`` uint8, made when no other cell has made it."""
    spec = job.spec
    key = {
        "dataset": spec["dataset"],
        "classes": spec["task"]["labels"],
        "limit": spec["limit"],
        "form": [form.size, form.channels],
        "origin": origin,
        "corruption": name,
        "severity": severity,
    }

    def write(folder: Path) -> None:
        np.save(folder / "pixels.npy", produce(name, severity))

    return job.store.cache.get("corruptions", key, write) / "pixels.npy"


def _cases(job: Job) -> Iterator[tuple[str, int]]:
    """Every corruption at every severity, with progress."""
    names, severities = job.spec["corruptions"], job.spec["severities"]
    cases = [(name, severity) for name in names for severity in severities]
    for step, (name, severity) in enumerate(cases):
        job.report({"stage": f"corruption {name} {severity}", "step": step, "total": len(cases), "terms": {}})
        yield name, severity


def _outcomes(sample: ImageExamples, job: Job, predictions: list[np.ndarray]) -> pd.DataFrame:
    """One row for each example, corruption and severity; names as categories, which parquet keeps small."""
    names, severities, count = job.spec["corruptions"], job.spec["severities"], len(sample)
    cases = len(names) * len(severities)
    return pd.DataFrame(
        {
            "id": pd.Categorical.from_codes(np.tile(np.arange(count), cases), pd.Index(sample.ids)),
            "label": np.tile(sample.labels.astype(np.int16), cases),
            "corruption": pd.Categorical.from_codes(
                np.repeat(np.arange(len(names)), len(severities) * count), pd.Index(names)
            ),
            "severity": np.tile(np.repeat(np.array(severities, np.int8), count), len(names)),
            "prediction": np.concatenate(predictions).astype(np.int16),
        }
    )
