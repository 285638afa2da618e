"""Attacks on image classifiers, as an evaluation: what is kept of every example, and the flags of the checks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from kdbench.attacks.image_checks import check_images
from kdbench.attacks.image_state import StateFile
from kdbench.attacks.images import attack_images, summarize_images
from kdbench.attacks.spec import AttackSpec
from kdbench.cells.common import pick_device
from kdbench.cells.data import load_trained
from kdbench.cells.job import CellResult, Job
from kdbench.evaluations.attacked import attacked_examples
from kdbench.record import EXAMPLES_FILE

IMAGES_FILE = "adversarial.safetensors"
STATE_FILE = "attack.safetensors"


def run(job: Job) -> CellResult:
    """Accuracy under attack, success rate, queries and norms, and the adversarial images themselves.

    An interrupted run goes on after its last batch. With several epsilons ``security_curve`` in the details has the
    accuracy at each, as pairs from epsilon 0 on.

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
        state=StateFile(job.work / STATE_FILE, job.key),
        progress=lambda member, share: job.report(
            {"stage": f"attack {attack.name}: {member}", "step": round(100 * share), "total": 100, "terms": {}}
        ),
    )
    pd.DataFrame({"id": examples.ids, **result.columns()}).to_parquet(job.out / EXAMPLES_FILE)
    save_file({"images": result.images}, job.out / IMAGES_FILE)
    details = {
        "examples": len(examples),
        "attack_version": spec["attack_version"],
        "accuracy_after": result.after,
        "notes": list(result.notes),
    }
    if attack.epsilons:
        details["security_curve"] = [list(point) for point in result.curve]
    return CellResult(
        metrics=summarize_images(result),
        details=details,
        cost={"queries": int(result.queries.sum()), "gradients": int(result.gradients.sum())},
        flags=check_images(model, images, labels, attack, result, seed=spec["seed"]),
        measured={"batch_size": result.batch_size},
    )
