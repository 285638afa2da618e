"""What evaluations and the trainer know of predictions, whatever is predicted."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd


class Predictions(Protocol):
    """A model's predictions on one set."""

    def score(self, metric: str, rows: np.ndarray | None = None) -> float:
        """One of the task's metrics, over all examples or those at ``rows``."""
        ...

    def table(self) -> pd.DataFrame:
        """What came of every example, one row each: ``id``, ``label``, ``prediction`` and whatever goes with them."""
        ...
