"""The ``in_domain`` evaluation: the task's reported split."""

from kdbench.evaluations.evaluate import evaluate_dataset as run

__all__ = ["run"]
