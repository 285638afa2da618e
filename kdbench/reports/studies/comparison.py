"""Whether one model is better than another on the same examples and seeds, or not to be told apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from kdbench.reports.table import Value
from kdbench.stats.paired import crossed_bootstrap, mcnemar_exact, percentile_interval
from kdbench.stats.sufficient import metric_of_means, metric_terms

LEVEL = 0.05


@dataclass(frozen=True)
class Outcomes:
    """What a method's students predicted, one row per seed.

    Attributes:
        seeds: of the rows.
        ids: of the examples.
        predictions: ``(seeds, n)``.
        labels: ``(n,)``.
    """

    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    predictions: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Difference:
    """First minus second, in the unit of the metric.

    Attributes:
        value: of the means over seeds.
        low, high: bootstrap interval, 95 % for all ``choices`` together.
        p: exact McNemar times ``choices``, with one seed and accuracy; else nothing.
        separable: whether p is below 0.05; where there is no p, whether the interval leaves out 0.
    """

    value: float
    low: float
    high: float
    p: float | None
    separable: bool

    def reversed(self) -> Difference:
        """Second minus first."""
        return replace(self, value=-self.value, low=-self.high, high=-self.low)

    @property
    def verdict(self) -> str:
        """In words, with the test's p-value where there is one."""
        return ("separable" if self.separable else "not separable") + ("" if self.p is None else f", p {self.p:.2g}")

    def __str__(self) -> str:
        """In points."""
        value, low, high = (number * 100 + 0.0 for number in (self.value, self.low, self.high))
        return f"{value:+.1f} [{low:+.1f}, {high:+.1f}], {self.verdict}"


def gap(first: Value | None, second: Value | None, difference: Difference | None) -> str:
    """``1.2 points below (not separable)``, to be followed by what second is."""
    if first is None or second is None:
        return "at an unknown distance from"
    points = (first.mean - second.mean) * 100
    verdict = difference.verdict if difference else "not tested: no paired outcomes"
    if not points:
        return f"equal ({verdict}) to"
    return f"{abs(points):.1f} points {'above' if points > 0 else 'below'} ({verdict})"


def compare(first: Outcomes, second: Outcomes, metric: str, choices: int = 1) -> Difference | None:
    """Paired comparison: crossed bootstrap over seeds and examples; McNemar's exact test for one seed's accuracy.

    Args:
        first, second: of the same seeds on the same examples, or there is no comparison.
        metric: one of :data:`kdbench.tasks.metrics.METRICS`.
        choices: comparisons among which this one was picked for being extreme (Bonferroni).
    """
    if first.seeds != second.seeds or first.ids != second.ids:
        return None
    predictions = np.stack([first.predictions, second.predictions])
    terms = metric_terms(metric, predictions, first.labels)
    own, other = metric_of_means(metric, terms.mean(2)).mean(1)
    draws = crossed_bootstrap(terms[0], terms[1], partial(metric_of_means, metric))
    low, high = percentile_interval(draws, 1 - LEVEL / choices)
    p = None
    if len(first.seeds) == 1 and metric == "accuracy":
        right = predictions[:, 0] == first.labels
        p = min(1.0, mcnemar_exact(right[0], right[1]) * choices)
    separable = p < LEVEL if p is not None else not low <= 0 <= high
    return Difference(float(own - other), low, high, p, separable)
