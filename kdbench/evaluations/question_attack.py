"""Attacks on questions, as an evaluation."""

from __future__ import annotations

from typing import Unpack

from transformers import PreTrainedModel

from kdbench.attacks.outcomes import QuestionOutcome, summarize_questions
from kdbench.attacks.question_reader import ReaderVictim
from kdbench.attacks.questions import QuestionExample, attack_questions
from kdbench.attacks.settings import SearchSettings
from kdbench.attacks.spec import AttackSpec
from kdbench.cells.common import pick_device
from kdbench.cells.data import load_trained
from kdbench.cells.job import CellResult, Job
from kdbench.evaluations.attacked import attacked_examples, keep_outcomes, memo_of, report_attacked
from kdbench.inputs.base import Reader
from kdbench.tasks.dataset import SpanExamples


def run(job: Job) -> CellResult:
    """Token F1 and exact match under attack, success rate, queries and perturbed words, over answerable questions."""
    spec = job.spec
    model, reader = load_trained(job)
    examples = attacked_examples(job)
    assert isinstance(examples, SpanExamples)
    outcomes = attack_reader(
        model.to(pick_device(job)),
        reader,
        examples,
        AttackSpec.model_validate(spec["attack"]),
        query_budget=spec["query_budget"],
        seed=spec["seed"],
        directories=job.locations.assets(),
        memo=memo_of(job),
        progress=report_attacked(job, len(examples)),
    )
    return keep_outcomes(job, outcomes, summarize_questions(outcomes))


def attack_reader(
    model: PreTrainedModel,
    reader: Reader,
    examples: SpanExamples,
    attack: AttackSpec,
    **settings: Unpack[SearchSettings],
) -> list[QuestionOutcome]:
    """Attack a reader where it is; arguments as of :func:`kdbench.attacks.questions.attack_questions`."""
    rows = zip(examples.ids, examples.texts, examples.pairs or [], examples.answers, strict=True)
    return attack_questions(
        ReaderVictim(model, reader),
        [QuestionExample(*row) for row in rows],
        attack,
        **settings,
    )
