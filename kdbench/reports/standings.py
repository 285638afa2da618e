"""Who is better than whom, as far as the examples and seeds can tell: differences, ranks and their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from kdbench.reports.axes import AXES
from kdbench.reports.comparability import comparable, sets_of_axis
from kdbench.reports.difference import LEVEL, Difference, outcomes_part
from kdbench.reports.outcomes import OutcomeReader, Outcomes
from kdbench.reports.table import Leaderboard
from kdbench.stats.crossed import CrossedScores, Part, crossed_scores
from kdbench.stats.multiple import holm
from kdbench.stats.paired import mcnemar_exact
from kdbench.stats.ranks import inseparable_from_best, rank_intervals, rank_ranges

REFERENCES = ("kd", "finetune")
"""What methods are compared with where nobody says otherwise; the first that is there."""


@dataclass(frozen=True)
class Standing:
    """One method of a pair on one axis.

    Attributes:
        score: mean over tasks, sets and seeds, in [0, 1].
        ranks: from one more than the number of methods that are separably better to all that are not separably
            worse; 1 is first.
        rank_interval: 95 % percentile interval of the rank over bootstrap replicates.
        best: has the highest score.
        tied: is not separable from the best (which is tied with itself).
        against: the method minus the reference, p adjusted for all methods of the axis (Holm); nothing for the
            reference itself, and where that is not ranked.
    """

    method: str
    score: float
    ranks: tuple[int, int]
    rank_interval: tuple[float, float]
    best: bool
    tied: bool
    against: Difference | None


@dataclass(frozen=True)
class Standings:
    """All pairs and axes, and who was left out and why."""

    reference: str
    by_place: dict[tuple[str, str], dict[str, Standing]]
    scores: dict[tuple[str, str], tuple[list[str], CrossedScores]]
    unranked: tuple[str, ...]

    def get(self, pair: str, axis: str, method: str) -> Standing | None:
        """Where a method stands; nothing where it is not ranked."""
        return self.by_place.get((pair, axis), {}).get(method)


def pick_reference(board: Leaderboard, wanted: str = "") -> str:
    """The reference method: the one asked for, or the first of ``REFERENCES`` that is there, or the first method."""
    methods = list(dict.fromkeys(method for pair in board.pairs for method in board.students(pair)))
    return wanted or next((name for name in REFERENCES if name in methods), methods[0] if methods else "")


def build_standings(board: Leaderboard, reader: OutcomeReader, reference: str) -> Standings:
    """Compare the methods of every pair on every axis, from per-example outcomes."""
    by_place: dict[tuple[str, str], dict[str, Standing]] = {}
    scores: dict[tuple[str, str], tuple[list[str], CrossedScores]] = {}
    unranked: list[str] = []
    for pair in board.pairs:
        for axis in AXES:
            methods, reasons = comparable(board, reader, pair, axis, reference)
            unranked += reasons
            if len(methods) < 2:
                continue
            strata = _strata(board, reader, pair, axis, methods)
            crossed = crossed_scores([[part for _, part in parts] for parts in strata])
            exact = _mcnemar(strata)
            scores[pair, axis] = methods, crossed
            by_place[pair, axis] = _stand(methods, crossed, exact, reference)
    return Standings(reference, by_place, scores, tuple(unranked))


_Parts = list[tuple[str, Part]]
"""(metric, outcomes of all methods) of the sets of one task."""


def _strata(board: Leaderboard, reader: OutcomeReader, pair: str, axis: str, methods: list[str]) -> list[_Parts]:
    """One stratum for each task: its sets, or one set of means where all its attacks are on the same examples."""
    strata: list[_Parts] = []
    for task in board.tasks:
        names = [name for its, name in sets_of_axis(board, pair, axis) if its == task]
        if not names:
            continue
        metric = board.axis_metric(axis, task)
        read = partial(reader.read, pair, task)
        sets = [[read(method, axis, name, metric) for method in methods] for name in names]
        found = [[outcomes for outcomes in members if outcomes] for members in sets]
        if axis == "attack":
            strata.append(_attacked(found))
        else:
            strata.append([(metric, outcomes_part(metric, members)) for members in found])
    return strata


def _attacked(sets: list[list[Outcomes]]) -> _Parts:
    """Attacks on the same examples are one set: what each example keeps, in the mean over the attacks."""
    if any(members[0].ids != sets[0][0].ids for members in sets):
        return [("token_f1", outcomes_part("token_f1", members)) for members in sets]
    kept = np.mean([[outcomes.predictions for outcomes in members] for members in sets], axis=0)
    first = sets[0][0]
    means = [Outcomes(first.seeds, first.ids, predictions, first.labels) for predictions in kept]
    return [("accuracy" if len(sets) == 1 else "token_f1", outcomes_part("token_f1", means))]


def _mcnemar(strata: list[_Parts]) -> np.ndarray | None:
    """Exact p-values ``(models, models)`` for one seed's accuracy on one set; nothing otherwise."""
    if len(strata) != 1 or len(strata[0]) != 1:
        return None
    metric, part = strata[0][0]
    if metric != "accuracy" or part.terms.shape[1] != 1 or not np.isin(part.terms, (0, 1)).all():
        return None
    right = part.terms[:, 0, :, 0].astype(bool)
    p = np.ones((len(right), len(right)))
    for i, j in combinations(range(len(right)), 2):
        p[i, j] = p[j, i] = mcnemar_exact(right[i], right[j])
    return p


def _stand(methods: list[str], crossed: CrossedScores, exact: np.ndarray | None, reference: str) -> dict[str, Standing]:
    means = crossed.means
    p = crossed.pairwise() if exact is None else exact
    ranges = rank_ranges(means, p, LEVEL)
    tied = inseparable_from_best(means, p, LEVEL)
    intervals = rank_intervals(crossed.draws)
    against = _against(methods, crossed, p, reference)
    return {
        method: Standing(
            method,
            float(means[i]),
            ranges[i],
            (float(intervals[i][0]), float(intervals[i][1])),
            bool(means[i] == means.max()),
            bool(tied[i]),
            against.get(method),
        )
        for i, method in enumerate(methods)
    }


def _against(methods: list[str], crossed: CrossedScores, p: np.ndarray, reference: str) -> dict[str, Difference]:
    if reference not in methods:
        return {}
    at = methods.index(reference)
    others = [i for i in range(len(methods)) if i != at]
    adjusted = holm(np.array([p[i, at] for i in others]))
    found = {}
    for i, corrected in zip(others, adjusted, strict=True):
        weights = np.zeros(len(methods))
        weights[i], weights[at] = 1, -1
        contrast = crossed.contrast(weights)
        found[methods[i]] = Difference(contrast.value, contrast.low, contrast.high, float(corrected))
    return found
