"""The ``attack`` evaluation: one adversarial attack on a sample of the reported split."""

from __future__ import annotations

import importlib

from kdbench.cells.job import CellResult, Job


def run(job: Job) -> CellResult:
    """Accuracy under attack over all sampled examples, success rate and cost; see the module of the kind.

    The sample depends on the data and the attack seed only: every model is attacked on the same rows.
    """
    module = importlib.import_module(f"kdbench.evaluations.{job.spec['attack']['kind']}_attack")
    result: CellResult = module.run(job)
    return result
