"""Attacks on questions, as an evaluation: the victim, and what is kept of every question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from transformers import PreTrainedModel

from kdbench.answers.decoding import nbest_texts
from kdbench.attacks.outcomes import summarize_questions
from kdbench.attacks.questions import QuestionExample, attack_questions
from kdbench.attacks.spec import AttackSpec
from kdbench.cells.common import pick_device
from kdbench.cells.data import load_trained
from kdbench.cells.job import CellResult, Job
from kdbench.evaluations.attacked import attacked_examples, keep_outcomes, report_attacked
from kdbench.inputs.base import Reader
from kdbench.inputs.spans import SpanReader
from kdbench.predictions.spans import read_candidates
from kdbench.tasks.dataset import SpanExamples
from kdbench.training.predict import predict


class Victim:
    """A trained reader as attacks see it: questions in, n-best answers out, fp32, padded to the longest query."""

    def __init__(self, model: PreTrainedModel, reader: Reader) -> None:
        assert isinstance(reader, SpanReader)
        self.model = model
        self.reader = replace(reader, cache=None)  # no query is ever asked again

    def answers(self, questions: Sequence[str], context: str) -> list[list[tuple[str, float]]]:
        """n-best answers of each question, best first, with their probabilities."""
        count = len(questions)
        rows = SpanExamples(
            ids=[""] * count,
            labels=np.zeros(count, np.int64),
            groups=None,
            texts=list(questions),
            pairs=[context] * count,
            answers=[()] * count,
            answer_starts=[()] * count,
        )
        data = self.reader.encode(rows)
        found = read_candidates(data, predict(self.model, data, batch_size=32), self.reader.form)
        answers = zip(nbest_texts(found, rows.pairs or []), found.probabilities(), strict=True)
        return [list(zip(texts, shares.tolist(), strict=True)) for texts, shares in answers]


def run(job: Job) -> CellResult:
    """Token F1 and exact match under attack, success rate, queries and perturbed words, over answerable questions."""
    spec = job.spec
    model, reader = load_trained(job)
    examples = attacked_examples(job)
    assert isinstance(examples, SpanExamples)
    rows = zip(examples.ids, examples.texts, examples.pairs or [], examples.answers, strict=True)
    targets = [QuestionExample(*row) for row in rows]
    attack = AttackSpec.model_validate(spec["attack"])
    outcomes = attack_questions(
        Victim(model.to(pick_device(job)), reader),
        targets,
        attack,
        query_budget=spec["query_budget"],
        seed=spec["seed"],
        directories=job.locations.assets(),
        progress=report_attacked(job, len(targets)),
    )
    return keep_outcomes(job, outcomes, summarize_questions(outcomes))
