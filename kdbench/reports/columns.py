"""The columns of the standard tables: a summary per method, and one table per task."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from kdbench.reports.entries import Entry, combine, combine_entries, single
from kdbench.reports.table import Leaderboard, Status, Value
from kdbench.rows import TEACHER
from kdbench.stats.robustness import relative_drop

Read = Callable[[str, str], Entry | None]
"""(pair, method) -> what stands there."""


@dataclass(frozen=True)
class Column:
    """A column: its key and title, how numbers are written, whether more is better, and where numbers come from."""

    key: str
    title: str
    form: str
    entry: Read
    better: int = 0


def summary_columns(board: Leaderboard) -> list[Column]:
    """In-domain, out-of-domain and adversarial side by side, never averaged into one number."""
    efficiency = _over_tasks(board, "efficiency")
    columns = [
        Column("in_domain", "in-domain", "percent", axis_entry(board, "in_domain"), 1),
        Column("ood", "out-of-domain", "percent", axis_entry(board, "ood"), 1),
        Column("relative_drop", "drop / teacher's", "ratio", lambda p, m: _relative_drop(board, p, m), -1),
        Column("attack_clean", "attacked sample, clean", "percent",
               _over_tasks(board, "attack")(board.clean_metric), 1),
        Column("attack", "under attack", "percent", axis_entry(board, "attack"), 1),
        Column("transfer", "transfer", "percent", _over_tasks(board, "transfer")(board.transfer_metric), 1),
        Column("union", "union", "percent", _over_tasks(board, "transfer")(board.union_metric), 1),
        Column("corruption", "corruptions", "percent",
               _over_tasks(board, "corruption")(lambda _: "corruption_accuracy"), 1),
        Column("mce", "mCE", "percent", _over_tasks(board, "corruption")(lambda _: "mce"), -1),
        Column("agreement", "agreement", "percent", _over_tasks(board, "fidelity")(lambda _: "agreement"), 1),
        Column("ece", "ECE", "percent", _over_tasks(board, "calibration")(lambda _: "ece"), -1),
        Column("parameters", "params (M)", "millions", efficiency(lambda _: "parameters"), -1),
        Column("flops", "GFLOPs", "billions", efficiency(lambda _: "flops"), -1),
        Column("latency_ms", "latency (ms)", "milliseconds", lambda p, m: _latency(board, p, m), -1),
        Column("updates", "updates", "count", lambda p, m: _training(board, p, m, "updates")),
        Column("generator_updates", "generator updates", "count",
               lambda p, m: _training(board, p, m, "generator_updates")),
        Column("attack_passes", "attack passes", "count", lambda p, m: _training(board, p, m, "adversarial_passes")),
        Column("assistants", "assistants", "count", lambda p, m: _training(board, p, m, "assistants")),
        Column("minutes", "train (min)", "minutes", lambda p, m: _training(board, p, m, "minutes"), -1),
    ]  # fmt: skip
    places = [(pair, method) for pair in board.pairs for method in board.methods(pair)]
    return [column for column in columns if any(_shown(column, column.entry(*place)) for place in places)]


_OPTIONAL = {"generator_updates", "attack_passes", "assistants"}
"""Shown where something was spent on them."""


def _shown(column: Column, entry: Entry | None) -> bool:
    return entry is not None and (column.key not in _OPTIONAL or entry.number > 0)


def axis_entry(board: Leaderboard, axis: str) -> Read:
    """The score of an axis (``in_domain``, ``ood``, ``attack``): mean over tasks of the mean over sets."""
    return _over_tasks(board, axis)(partial(board.axis_metric, axis))


def _over_tasks(board: Leaderboard, evaluation: str) -> Callable[[Callable[[str], str]], Read]:
    """Given the metric of each task: the mean over tasks; missing where other methods have more tasks."""

    def measured(pair: str, method: str, task: str, metric: str) -> list[Value]:
        found = [board.get(pair, task, method, evaluation, name, metric) for name in board.sets(task, evaluation)]
        return [value for value in found if value is not None]

    def reader(metric: Callable[[str], str]) -> Read:
        def entry(pair: str, method: str) -> Entry | None:
            per_task, absent = [], 0
            for task in board.tasks:
                values = measured(pair, method, task, metric(task))
                if values:
                    per_task.append(combine(values))
                elif any(measured(pair, other, task, metric(task)) for other in board.methods(pair)):
                    absent += 1  # a mean over fewer tasks than others have is not comparable
            if not per_task:
                return None
            if absent:
                return Entry(math.nan, math.nan, (len(per_task), len(per_task) + absent), "missing")
            return combine_entries(per_task)

        return entry

    return reader


def _relative_drop(board: Leaderboard, pair: str, method: str) -> Entry | None:
    """What is lost from in-domain to out-of-domain, in the same metric, as a multiple of what the teacher loses."""
    own, teacher = _in_and_out(board, pair, method), _in_and_out(board, pair, TEACHER)
    if own is None or teacher is None:
        return None
    ratio = relative_drop(own, teacher)
    return None if math.isnan(ratio) else Entry(ratio, math.nan, (1, 1), "ok")


def _in_and_out(board: Leaderboard, pair: str, method: str) -> tuple[float, float] | None:
    """Means over the tasks that have out-of-domain sets; nothing unless all are whole."""
    inside, outside = [], []
    for task in board.tasks:
        metric = board.ood_metric(task)
        sets = [board.get(pair, task, method, "ood", name, metric) for name in board.sets(task, "ood")]
        own = board.get(pair, task, method, "in_domain", task, metric)
        if not sets:
            continue
        if own is None or any(value is None or value.status != "ok" for value in (own, *sets)):
            return None
        inside.append(own.mean)
        outside.append(statistics.fmean(value.mean for value in sets if value))
    return (statistics.fmean(inside), statistics.fmean(outside)) if inside else None


def _latency(board: Leaderboard, pair: str, method: str) -> Entry | None:
    """Mean over tasks and seeds of the batch that ``efficiency`` times."""
    rows = [r for r in board.manifest.rows if (r.pair, r.method, r.evaluation) == (pair, method, "efficiency")]
    known = [float(board.runs[r.key].measured.get("latency_ms", math.nan)) for r in rows if r.key in board.runs]
    if not known or any(map(math.isnan, known)):
        return None
    whole = len(known) == len(rows)
    return Entry(
        statistics.fmean(known) if whole else math.nan, math.nan, (len(known), len(rows)), "ok" if whole else "missing"
    )


def _training(board: Leaderboard, pair: str, method: str, what: str) -> Entry | None:
    """Mean over tasks and seeds of what a training took; its assistants' own training is not included."""
    rows = [r for r in board.manifest.rows if (r.pair, r.method, r.evaluation) == (pair, method, "")]
    numbers = []
    for row in rows:
        if row.key not in board.records:
            continue
        if what == "minutes":
            numbers += [board.runs[row.key].wall_seconds / 60] if row.key in board.runs else []
        else:
            cost = board.records[row.key].cost
            updates = "teacher_updates" if method == TEACHER else "student_updates"
            numbers.append(float(cost.get(updates if what == "updates" else what, 0)))
    if not rows:
        return None
    status: Status = "ok" if len(numbers) == len(rows) else "missing"
    mean = statistics.fmean(numbers) if status == "ok" else math.nan
    return Entry(mean, math.nan, (len(numbers), len(rows)), status)


def task_columns(board: Leaderboard, task: str) -> list[Column]:
    """Every metric of one task, as far as anything measured it: in-domain, each set, each attack."""
    places: list[tuple[str, str, str, str]] = []
    for metric in board.manifest.metrics[task]:
        places += [("in_domain", name, metric, metric) for name in board.sets(task, "in_domain")]
    metric = board.ood_metric(task)
    places += [("ood", name, metric, f"ood {name}") for name in board.sets(task, "ood")]
    for name in board.sets(task, "corruption"):
        places.append(("corruption", name, "corruption_accuracy", f"corruptions {name}"))
        places.append(("corruption", name, "mce", f"mCE {name}"))
    clean = _clean_attacks(board, task)
    for name in board.sets(task, "attack"):
        if name in clean:
            title = f"{name} clean" if len(clean) > 1 else "clean (attacked sample)"
            places.append(("attack", name, board.clean_metric(task), title))
        places.append(("attack", name, board.attack_metric(task), f"{name}"))
        places.append(("attack", name, "exact_match_under_attack", f"{name} exact match"))
    return set_columns(board, task, places)


def set_columns(board: Leaderboard, task: str, places: Iterable[tuple[str, str, str, str]]) -> list[Column]:
    """Columns of single values of a task, those that anything measured.

    Args:
        places: evaluation, set, metric and title of each; a column's key is the first three, with slashes.
    """
    measured = {(p.evaluation, p.dataset, p.metric) for p in board.values if p.task == task}

    def reader(evaluation: str, name: str, metric: str) -> Read:
        def entry(pair: str, method: str) -> Entry | None:
            value = board.get(pair, task, method, evaluation, name, metric)
            return None if value is None else single(value)

        return entry

    return [
        Column(
            f"{evaluation}/{name}/{metric}",
            title,
            _FORMS.get(metric, "percent"),
            reader(evaluation, name, metric),
            _BETTER.get(metric, 1),
        )
        for evaluation, name, metric, title in places
        if (evaluation, name, metric) in measured
    ]


_FORMS = {"mean_queries": "number", "mean_norm": "norm", "similarity": "ratio", "perplexity_ratio": "ratio"}
_NEITHER = (
    "mean_queries", "mean_perturbed_words", "mean_norm", "skipped", "exhausted", "similarity", "low_similarity",
    "perplexity_ratio",
)  # fmt: skip
_BETTER = {
    **dict.fromkeys(_NEITHER, 0),
    **dict.fromkeys(("success", "success_rate", "transfer_rate", "transfer_rate_finetune", "mce"), -1),
}


def _clean_attacks(board: Leaderboard, task: str) -> list[str]:
    """Attacks whose sample has a clean accuracy of its own; the first one alone where all share a sample."""
    found: dict[str, list[float]] = {}
    clean = board.clean_metric(task)
    for name in board.sets(task, "attack"):
        values = {p: v for p, v in board.values.items() if (p.task, p.dataset, p.metric) == (task, name, clean)}
        found[name] = [v.mean for p, v in sorted(values.items(), key=lambda item: (item[0].pair, item[0].method))]
    names = list(found)
    return [name for name in names if name == names[0] or not _agree(found[name], found[names[0]])]


def _agree(first: list[float], second: list[float]) -> bool:
    return len(first) == len(second) and all(a == b or math.isnan(a + b) for a, b in zip(first, second, strict=True))
