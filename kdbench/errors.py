"""Every error a user can cause, each saying what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KDBenchError(Exception):
    """Base of all errors that are the input's fault: one clear line, exit code 2."""


class SuiteError(KDBenchError):
    """A suite, task, pair or attack definition is not valid."""


class UnknownNameError(KDBenchError):
    """A name that no registry or catalog knows."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"
        super().__init__(f"unknown {kind} '{name}': {hint}")


class PlanError(KDBenchError):
    """The plan cannot be made: something it needs is missing or impossible."""


class MethodError(KDBenchError):
    """A method's configuration or composition is impossible, or a plugin cannot be loaded."""


class DataError(KDBenchError):
    """A dataset is missing, or lacks what its task needs."""


class ModelError(KDBenchError):
    """A model is missing, or does not fit its pair."""


class AttackError(KDBenchError):
    """An attack cannot run here; the message names what it needs."""


class StoreError(KDBenchError):
    """The store cannot be read or written as asked."""


class ReportError(KDBenchError):
    """There is nothing to report, or it cannot be put into one table."""
