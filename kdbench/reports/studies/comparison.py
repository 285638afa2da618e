"""Whether one model is better than another on the same examples and seeds, or not to be told apart."""

from __future__ import annotations

from collections.abc import Sequence
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


def gap(first: Value | None, second: Value | None, difference: Difference | None, target: str) -> str:
    """``1.2 points below TARGET (not separable)``; ``target`` names the second."""
    if first is None or second is None:
        return f"at an unknown distance from {target}"
    points = (first.mean - second.mean) * 100
    verdict = difference.verdict if difference else "not tested: no paired outcomes"
    where = f"{abs(points):.1f} points {'above' if points > 0 else 'below'}" if points else "level with"
    return f"{where} {target} ({verdict})"


def compare(first: Outcomes, second: Outcomes, metric: str, choices: int = 1) -> Difference | None:
    """Paired comparison: crossed bootstrap over seeds and examples; McNemar's exact test for one seed's accuracy.

    Args:
        first, second: of the same seeds on the same examples, or there is no comparison.
        metric: one of :data:`kdbench.tasks.metrics.METRICS`.
        choices: comparisons among which this one was picked for being extreme (Bonferroni).
    """
    terms = _paired_terms([first, second], metric)
    if terms is None:
        return None
    own, other = metric_of_means(metric, terms.mean(2)).mean(1)
    low, high = percentile_interval(_draws(terms, (1, -1), metric), 1 - LEVEL / choices)
    p = None
    if len(first.seeds) == 1 and metric == "accuracy":
        right = terms[:, 0, :, 0].astype(bool)
        p = min(1.0, mcnemar_exact(right[0], right[1]) * choices)
    separable = p < LEVEL if p is not None else not low <= 0 <= high
    return Difference(float(own - other), low, high, p, separable)


def contrast_interval(models: Sequence[Outcomes], weights: Sequence[float], metric: str) -> tuple[float, float] | None:
    """Bootstrap interval of a weighted sum of scores; nothing unless all have the same seeds and examples."""
    terms = _paired_terms(models, metric)
    return None if terms is None else percentile_interval(_draws(terms, weights, metric), 1 - LEVEL)


def _paired_terms(models: Sequence[Outcomes], metric: str) -> np.ndarray | None:
    """``(models, seeds, n, terms)`` of the metric."""
    first = models[0]
    if any((model.seeds, model.ids) != (first.seeds, first.ids) for model in models):
        return None
    return metric_terms(metric, np.stack([model.predictions for model in models]), first.labels)


def _draws(terms: np.ndarray, weights: Sequence[float], metric: str) -> np.ndarray:
    return crossed_bootstrap(terms, weights, partial(metric_of_means, metric))
