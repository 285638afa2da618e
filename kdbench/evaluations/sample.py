"""Which examples are attacked: the same for every model, and for what is replayed on others."""

from __future__ import annotations

import numpy as np

from kdbench.cells.data import AnyExamples, load_examples
from kdbench.cells.job import Job
from kdbench.tasks.dataset import SpanExamples


def attacked_examples(job: Job) -> AnyExamples:
    """A sample of the set by content hash; of questions only those that have an answer to be lost."""
    spec = job.spec
    examples = load_examples(job, spec["dataset"], spec["task"])
    if isinstance(examples, SpanExamples):
        examples = examples.take(np.flatnonzero(examples.labels))
    return examples.sample(spec["examples"], f"attack-{spec['seed']}")
