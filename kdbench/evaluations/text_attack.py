"""Attacks on text classifiers, as an evaluation."""

from __future__ import annotations

from typing import Unpack

from transformers import PreTrainedModel

from kdbench.attacks.classifier import ClassifierVictim
from kdbench.attacks.outcomes import AttackOutcome, summarize
from kdbench.attacks.settings import SearchSettings
from kdbench.attacks.spec import AttackSpec
from kdbench.attacks.text import Column, TextExample, attack_texts
from kdbench.cells.common import pick_device
from kdbench.cells.data import load_trained
from kdbench.cells.job import CellResult, Job
from kdbench.evaluations.attacked import attacked_examples, keep_outcomes, memo_of, report_attacked
from kdbench.inputs.base import Reader
from kdbench.inputs.text import TextReader
from kdbench.tasks.dataset import TextExamples


def run(job: Job) -> CellResult:
    """Accuracy under attack, success rate, queries and perturbed words."""
    spec = job.spec
    model, reader = load_trained(job)
    examples = attacked_examples(job)
    assert isinstance(examples, TextExamples)
    outcomes = attack_classifier(
        model.to(pick_device(job)),
        reader,
        examples,
        AttackSpec.model_validate(spec["attack"]),
        perturb=spec["perturb"],
        query_budget=spec["query_budget"],
        seed=spec["seed"],
        directories=job.locations.assets(),
        memo=memo_of(job),
        progress=report_attacked(job, len(examples)),
    )
    return keep_outcomes(job, outcomes, summarize(outcomes))


def attack_classifier(
    model: PreTrainedModel,
    reader: Reader,
    examples: TextExamples,
    attack: AttackSpec,
    *,
    perturb: Column,
    **settings: Unpack[SearchSettings],
) -> list[AttackOutcome]:
    """Attack a classifier where it is; arguments as of :func:`kdbench.attacks.text.attack_texts`."""
    assert isinstance(reader, TextReader)
    pairs: list[str | None] = [*examples.pairs] if examples.pairs else [None] * len(examples)
    rows = zip(examples.ids, examples.texts, pairs, examples.labels, strict=True)
    return attack_texts(
        ClassifierVictim(model, reader),
        [TextExample(identity, text, pair, int(label)) for identity, text, pair, label in rows],
        attack,
        perturb=perturb,
        **settings,
    )
