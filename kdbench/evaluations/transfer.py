"""The ``transfer`` evaluation: what attacks found on the teacher and on the finetune student, replayed on a student."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from kdbench.attacks.outcomes import HELD
from kdbench.cells.common import pick_device
from kdbench.cells.data import AnyExamples, load_trained
from kdbench.cells.job import CellResult, Job
from kdbench.errors import DataError
from kdbench.evaluations.attacked import attacked_examples
from kdbench.evaluations.image_attack import IMAGES_FILE
from kdbench.inputs.base import Reader
from kdbench.predictions import LabelPredictions, Predictions, SpanPredictions, read_predictions
from kdbench.record import EXAMPLES_FILE
from kdbench.stats.paired import mcnemar_exact
from kdbench.tasks.dataset import TextExamples
from kdbench.training.predict import predict

LEVEL = 0.01
_SOURCES = {"source": ("", "the teacher's"), "baseline": ("_finetune", "the finetune student's")}
"""Upstream attack -> suffix of its metrics and columns, and whose adversarial examples they are."""


def run(job: Job) -> CellResult:
    """Replay what was found on each upstream attack, and keep what the student makes of every example.

    ``examples.parquet`` has id and label, and for the teacher's attack its outcome (``source``), the student's
    prediction (``adversarial``) and, of answers, its ``f1``. Where the pair has a finetune student of the same seed:
    ``baseline``, ``adversarial_finetune`` and ``f1_finetune`` of what was found on that one. Metrics: :func:`judge`.
    """
    spec = job.spec
    model, reader = load_trained(job)
    model = model.to(pick_device(job))
    examples = attacked_examples(job)
    outcomes = {role: _outcomes(job, role, examples.ids) for role in spec["upstream"] if role != "model"}
    table = pd.DataFrame({"id": examples.ids})
    for role, (suffix, _) in _SOURCES.items():
        if role not in outcomes:
            continue
        predictions = _replay(job, model, reader, examples, role, outcomes[role])
        found = predictions.table()
        table["label"] = found["label"]
        table[role] = outcomes[role]["outcome"]
        table[f"adversarial{suffix}"] = found["prediction"]
        if isinstance(predictions, SpanPredictions):
            table[f"f1{suffix}"] = predictions.f1
    table.to_parquet(job.out / EXAMPLES_FILE)
    return judge(table, outcomes["own"]["outcome"], spec["attack"].get("f1_below"))


def judge(table: pd.DataFrame, own: pd.Series, f1_below: float | None = None) -> CellResult:
    """What is kept of replayed examples, over all sampled ones.

    Examples that the attack did not break, or that were wrong before it, count as they are: with the strongest
    attempt, or unchanged. An answer is right as long as its token F1 is not below the attack's goal.

    Args:
        table: what :func:`run` leaves, ``n`` rows.
        own: ``(n,)`` outcomes of the student's own attack on the same examples.
        f1_below: the goal of an attack on answers; nothing for classes.

    Returns:
        ``accuracy_under_transfer`` on the teacher's examples and ``accuracy_under_transfer_finetune`` on the finetune
        student's; ``accuracy_under_union``, where an example must be right in both versions, so that all students of
        a pair and seed are measured on one fixed set (all three as ``f1_…`` of answers, the smaller one for the
        union); ``transfer_rate``, the share of what broke the source that breaks the student. Flag
        ``transfer-beats-white-box``: see :func:`compare`.
    """
    name = "accuracy" if f1_below is None else "f1"
    metrics: dict[str, float] = {}
    details: dict[str, int] = {"examples": len(table)}
    flags: tuple[str, ...] = ()
    kept: list[np.ndarray] = []
    for role, (suffix, whose) in _SOURCES.items():
        if role not in table:
            continue
        if f1_below is None:
            kept.append((table[f"adversarial{suffix}"] == table["label"]).to_numpy(dtype=float))
        else:
            kept.append(table[f"f1{suffix}"].to_numpy())
        right = kept[-1] >= (1 if f1_below is None else f1_below)
        broken = (table[role] == "success").to_numpy()
        details[f"broken_at_{role}"] = int(broken.sum())
        metrics[f"{name}_under_transfer{suffix}"] = float(kept[-1].mean())
        metrics[f"transfer_rate{suffix}"] = float((broken & ~right).sum()) / max(1, int(broken.sum()))
        flags += compare(right, own.isin(HELD).to_numpy(), whose)
    if len(kept) > 1:
        metrics[f"{name}_under_union"] = float(np.minimum.reduce(kept).mean())
    return CellResult(metrics, details, {"forward_examples": len(table) * len(kept)}, flags)


def compare(right: np.ndarray, own: np.ndarray, whose: str = "the teacher's") -> tuple[str, ...]:
    """The flag, if transfer clearly beats the attack on the student itself: that attack is not to be believed.

    Clearly is by McNemar's exact test on the same examples at the level of 0.01.

    Args:
        right: ``(n,)`` bool, right on what was found on another model.
        own: ``(n,)`` bool, right under its own attack.
        whose: adversarial examples they are.
    """
    if right.sum() >= own.sum() or mcnemar_exact(right, own) >= LEVEL:
        return ()
    return (
        f"transfer-beats-white-box: right on {right.mean():.1%} of {whose} adversarial examples, on "
        f"{own.mean():.1%} of its own ({len(right)} examples)",
    )


def _replay(
    job: Job, model: PreTrainedModel, reader: Reader, examples: AnyExamples, role: str, outcomes: pd.DataFrame
) -> Predictions:
    if not isinstance(examples, TextExamples):
        return LabelPredictions(examples, _replay_images(model, job.upstream(role)))
    found = outcomes["perturbed"].tolist()
    second = job.spec.get("perturb") == "text_pair"
    perturbed = replace(examples, pairs=found) if second else replace(examples, texts=found)
    data = reader.encode(perturbed)
    return read_predictions(job.spec["task"], perturbed, data, predict(model, data))


def _replay_images(model: torch.nn.Module, folder: Path) -> np.ndarray:
    images = load_file(folder / IMAGES_FILE)["images"]
    device = next(model.parameters()).device
    with torch.inference_mode():
        parts = [model(pixel_values=part.to(device)).logits.argmax(-1).cpu() for part in images.split(128)]
    return torch.cat(parts).numpy()


def _outcomes(job: Job, role: str, ids: list[str]) -> pd.DataFrame:
    path = job.upstream(role) / EXAMPLES_FILE
    table = pd.read_parquet(path)
    if table["id"].tolist() != ids:
        raise DataError(f"{path}: holds other examples than were sampled: run the suite again")
    return table
