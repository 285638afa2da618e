"""The ``transfer`` evaluation: what an attack found on the teacher, replayed on a student."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from kdbench.cells.common import pick_device
from kdbench.cells.data import load_trained
from kdbench.cells.job import CellResult, Job
from kdbench.errors import DataError
from kdbench.evaluations.attacked import attacked_examples
from kdbench.evaluations.image_attack import IMAGES_FILE
from kdbench.predictions import LabelPredictions, SpanPredictions, read_predictions
from kdbench.record import EXAMPLES_FILE
from kdbench.stats.paired import mcnemar_exact
from kdbench.tasks.dataset import TextExamples
from kdbench.training.predict import predict

LEVEL = 0.01


def run(job: Job) -> CellResult:
    """Accuracy of the student on the teacher's adversarial examples, over all sampled ones; token F1 of answers.

    Examples that the attack did not break, or that were wrong before it, count as they are: with the strongest
    attempt, or unchanged. ``examples.parquet`` keeps id, label, the teacher's outcome and the student's prediction.
    An answer is right as long as its F1 is not below the attack's goal.

    Flag ``transfer-beats-white-box``: the replay breaks clearly more than the student's own attack did, by
    McNemar's exact test on the same examples at the level of 0.01; that attack is then not to be believed.
    """
    spec = job.spec
    model, reader = load_trained(job)
    examples = attacked_examples(job)
    source, own = (_outcomes(job.upstream(role), examples.ids) for role in ("source", "own"))
    model = model.to(pick_device(job))
    if isinstance(examples, TextExamples):
        found = source["perturbed"].tolist()
        second = spec.get("perturb") == "text_pair"
        examples = replace(examples, pairs=found) if second else replace(examples, texts=found)
        data = reader.encode(examples)
        predictions = read_predictions(spec["task"], examples, data, predict(model, data))
    else:
        predictions = LabelPredictions(examples, _replay_images(model, job.upstream("source")))
    table = predictions.table()
    if isinstance(predictions, SpanPredictions):
        right = predictions.f1 >= spec["attack"]["f1_below"]
        metrics = {"f1_under_transfer": predictions.score("token_f1")}
    else:
        right = (table["prediction"] == table["label"]).to_numpy()
        metrics = {"accuracy_under_transfer": float(right.mean())}
    table = table[["id", "label"]].assign(source=source["outcome"], adversarial=table["prediction"])
    table.to_parquet(job.out / EXAMPLES_FILE)
    broken = (source["outcome"] == "success").to_numpy()
    return CellResult(
        metrics={**metrics, "transfer_rate": float((broken & ~right).sum()) / max(1, int(broken.sum()))},
        details={"examples": len(examples), "broken_at_source": int(broken.sum())},
        cost={"forward_examples": len(examples)},
        flags=compare(right, (own["outcome"] == "failed").to_numpy()),
    )


def compare(right: np.ndarray, own: np.ndarray) -> tuple[str, ...]:
    """The flag, if transfer clearly beats the attack on the student itself.

    Args:
        right: ``(n,)`` bool, right on what was found on the teacher.
        own: ``(n,)`` bool, right under its own attack.
    """
    if right.sum() >= own.sum() or mcnemar_exact(right, own) >= LEVEL:
        return ()
    return (
        f"transfer-beats-white-box: right on {right.mean():.1%} of the teacher's adversarial examples, on "
        f"{own.mean():.1%} of its own ({len(right)} examples)",
    )


def _replay_images(model: torch.nn.Module, folder: Path) -> np.ndarray:
    images = load_file(folder / IMAGES_FILE)["images"]
    device = next(model.parameters()).device
    with torch.inference_mode():
        parts = [model(pixel_values=part.to(device)).logits.argmax(-1).cpu() for part in images.split(128)]
    return torch.cat(parts).numpy()


def _outcomes(folder: Path, ids: list[str]) -> pd.DataFrame:
    table = pd.read_parquet(folder / EXAMPLES_FILE)
    if table["id"].tolist() != ids:
        raise DataError(f"{folder / EXAMPLES_FILE}: holds other examples than were sampled: run the suite again")
    return table
