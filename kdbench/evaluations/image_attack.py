"""Attacks on image classifiers, as an evaluation: what is kept of every example, and the flags of the checks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from kdbench.attacks.image_checks import check_images
from kdbench.attacks.images import attack_images, summarize_images
from kdbench.attacks.spec import AttackSpec
from kdbench.cells.common import pick_device
from kdbench.cells.data import load_trained
from kdbench.cells.job import CellResult, Job
from kdbench.evaluations.attacked import attacked_examples
from kdbench.record import EXAMPLES_FILE

IMAGES_FILE = "adversarial.safetensors"


def run(job: Job) -> CellResult:
    """Accuracy under attack, success rate, queries and norms, and the adversarial images themselves.

    ``adversarial.safetensors`` holds ``images``, ``(n, channels, height, width)`` in the order of
    ``examples.parquet``, as float32: rounded to 8 bits, not all of them would still be adversarial.
    """
    spec = job.spec
    model, reader = load_trained(job)
    model = model.to(pick_device(job))
    examples = attacked_examples(job)
    images = reader.encode(examples).collate(np.arange(len(examples)))["pixel_values"].contiguous()
    labels = torch.from_numpy(examples.labels)
    attack = AttackSpec.model_validate(spec["attack"])
    result = attack_images(
        model,
        images,
        labels,
        attack,
        seed=spec["seed"],
        progress=lambda member, share: job.report(
            {"stage": f"attack {attack.name}: {member}", "step": round(100 * share), "total": 100, "terms": {}}
        ),
    )
    table = {
        "id": examples.ids,
        "label": result.labels,
        "predicted": result.predicted,
        "outcome": result.outcomes,
        "adversarial": result.adversarial,
        "broken_by": result.broken_by,
        "queries": result.queries,
        "gradients": result.gradients,
        "norm": result.norms,
    }
    pd.DataFrame(table).to_parquet(job.out / EXAMPLES_FILE)
    save_file({"images": result.images}, job.out / IMAGES_FILE)
    return CellResult(
        metrics=summarize_images(result),
        details={"examples": len(examples), "accuracy_after": result.after, "notes": list(result.notes)},
        cost={"queries": int(result.queries.sum()), "gradients": int(result.gradients.sum())},
        flags=check_images(model, images, labels, attack, result, seed=spec["seed"]),
    )
