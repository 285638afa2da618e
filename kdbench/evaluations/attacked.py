"""What attack evaluations share: which examples are attacked, progress, and what is kept of the outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from kdbench.attacks.memo import Memo
from kdbench.attacks.outcomes import AttackOutcome, QuestionOutcome
from kdbench.cells.data import AnyExamples, load_examples
from kdbench.cells.job import CellResult, Job
from kdbench.record import EXAMPLES_FILE
from kdbench.tasks.dataset import SpanExamples


def attacked_examples(job: Job) -> AnyExamples:
    """The cell's sample, the same for every model; of questions only those that have an answer."""
    examples = load_examples(job, job.spec["dataset"], job.spec["task"])
    return sample_attacked(examples, job.spec["examples"], job.spec["seed"])


def sample_attacked(examples: AnyExamples, count: int, seed: int) -> AnyExamples:
    """At most ``count`` of the examples, chosen by their content."""
    if isinstance(examples, SpanExamples):
        examples = examples.take(np.flatnonzero(examples.labels))
    return examples.sample(count, f"attack-{seed}")


def memo_of(job: Job) -> Memo:
    """What attacks on any victim of this store have found out already."""
    return Memo(job.store.cache.root / "attacks")


def report_attacked(job: Job, total: int) -> Callable[[int], None]:
    """Progress in finished examples."""
    stage = f"attack {job.spec['attack']['name']}"
    return lambda done: job.report({"stage": stage, "step": done, "total": total, "terms": {}})


def keep_outcomes(
    job: Job, outcomes: Sequence[AttackOutcome] | Sequence[QuestionOutcome], summary: Mapping[str, float]
) -> CellResult:
    """One row for each example in ``examples.parquet``, and the summary as metrics."""
    pd.DataFrame([asdict(outcome) for outcome in outcomes]).to_parquet(job.out / EXAMPLES_FILE)
    return CellResult(
        metrics={name: float(value) for name, value in summary.items() if name != "examples"},
        details={"examples": len(outcomes), "attack_version": job.spec["attack_version"]},
        cost={"queries": sum(outcome.queries for outcome in outcomes)},
    )
