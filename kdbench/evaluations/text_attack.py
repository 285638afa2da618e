"""Attacks on text classifiers, as an evaluation: the victim, and what is kept of every example."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedModel

from kdbench.attacks.spec import AttackSpec
from kdbench.attacks.text import TextExample, attack_texts, summarize
from kdbench.cells.common import pick_device
from kdbench.cells.data import load_trained
from kdbench.cells.job import CellResult, Job
from kdbench.evaluations.attacked import attacked_examples, keep_outcomes, report_attacked
from kdbench.inputs.base import Reader
from kdbench.tasks.dataset import TextExamples
from kdbench.training.predict import predict


class Victim:
    """A trained classifier as attacks see it: texts in, logits out, fp32, padded to the longest query."""

    def __init__(self, model: PreTrainedModel, reader: Reader) -> None:
        self.model = model
        self.reader = reader
        self.num_labels = int(model.config.num_labels)

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        """Logits ``(len(texts), classes)``."""
        rows = TextExamples(
            ids=[""] * len(texts),
            labels=np.zeros(len(texts), np.int64),
            groups=None,
            texts=list(texts),
            pairs=None if pairs is None else list(pairs),
        )
        return predict(self.model, self.reader.encode(rows), batch_size=32)


def run(job: Job) -> CellResult:
    """Accuracy under attack, success rate, queries and perturbed words."""
    spec = job.spec
    model, reader = load_trained(job)
    examples = attacked_examples(job)
    assert isinstance(examples, TextExamples)
    pairs: list[str | None] = [*examples.pairs] if examples.pairs else [None] * len(examples)
    rows = zip(examples.ids, examples.texts, pairs, examples.labels, strict=True)
    targets = [TextExample(identity, text, pair, int(label)) for identity, text, pair, label in rows]
    attack = AttackSpec.model_validate(spec["attack"])
    outcomes = attack_texts(
        Victim(model.to(pick_device(job)), reader),
        targets,
        attack,
        perturb=spec["perturb"],
        query_budget=spec["query_budget"],
        seed=spec["seed"],
        directories=job.locations.assets(),
        progress=report_attacked(job, len(targets)),
    )
    return keep_outcomes(job, outcomes, summarize(outcomes))
