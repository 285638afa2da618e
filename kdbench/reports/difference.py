"""Whether one model is better than another on the same examples and seeds, or not to be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from kdbench.reports.outcomes import Outcomes
from kdbench.stats.crossed import Contrast, Part, crossed_scores
from kdbench.stats.paired import mcnemar_exact
from kdbench.stats.sufficient import metric_of_means, metric_terms

LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """First minus second, in the unit of the metric.

    Attributes:
        value: of the means over seeds.
        low, high: 95 % interval, of all ``choices`` together where it was picked from several.
        p: corrected for how many were looked at; McNemar's exact one with one seed and accuracy, else the interval's.
    """

    value: float
    low: float
    high: float
    p: float

    @property
    def separable(self) -> bool:
        """Whether the two are told apart at the level of 5 %."""
        return self.p < LEVEL

    def reversed(self) -> Difference:
        """Second minus first."""
        return replace(self, value=-self.value, low=-self.high, high=-self.low)

    @property
    def verdict(self) -> str:
        """In words, with the p-value."""
        return f"{'separable' if self.separable else 'not separable'}, p {self.p:.2g}"

    def __str__(self) -> str:
        """In points."""
        value, low, high = (number * 100 + 0.0 for number in (self.value, self.low, self.high))
        return f"{value:+.1f} [{low:+.1f}, {high:+.1f}], {self.verdict}"


def compare(first: Outcomes, second: Outcomes, metric: str, choices: int = 1) -> Difference | None:
    """Paired comparison: crossed bootstrap over seeds and examples; McNemar's exact test for one seed's accuracy.

    Args:
        first, second: of the same seeds on the same examples, or there is no comparison.
        metric: one of :data:`kdbench.tasks.metrics.METRICS`.
        choices: comparisons among which this one was picked for being extreme (Bonferroni).
    """
    found = _contrast([first, second], (1, -1), metric, 1 - LEVEL / choices)
    if found is None:
        return None
    p = found.p
    if len(first.seeds) == 1 and metric == "accuracy":
        right = [model.predictions[0] == model.labels for model in (first, second)]
        p = mcnemar_exact(right[0], right[1])
    return Difference(found.value, found.low, found.high, min(1.0, p * choices))


def contrast_interval(models: Sequence[Outcomes], weights: Sequence[float], metric: str) -> tuple[float, float] | None:
    """95 % interval of a weighted sum of scores; nothing unless all have the same seeds and examples."""
    found = _contrast(models, weights, metric, 1 - LEVEL)
    return None if found is None else (found.low, found.high)


def _contrast(models: Sequence[Outcomes], weights: Sequence[float], metric: str, confidence: float) -> Contrast | None:
    if not all(model.paired_with(models[0]) for model in models):
        return None
    scores = crossed_scores([[outcomes_part(metric, models)]])
    return scores.contrast(weights, confidence)


def outcomes_part(metric: str, models: Sequence[Outcomes]) -> Part:
    """Paired outcomes of several models on one set, as the statistics take them."""
    predictions = np.stack([model.predictions for model in models])
    return Part(metric_terms(metric, predictions, models[0].labels), partial(metric_of_means, metric))
