"""The ``ood`` evaluation: a set from another distribution."""

from kdbench.evaluations.classify import evaluate_dataset as run

__all__ = ["run"]
