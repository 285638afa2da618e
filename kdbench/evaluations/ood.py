"""The ``ood`` evaluation: a set from another distribution."""

from kdbench.evaluations.evaluate import evaluate_dataset as run

__all__ = ["run"]
