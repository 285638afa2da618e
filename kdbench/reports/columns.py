"""The columns of the standard tables: a summary per method, and one table per task."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kdbench.reports.table import Leaderboard, Status, Value
from kdbench.rows import TEACHER


@dataclass(frozen=True)
class Entry:
    """One printed number: the mean over tasks and sets of seed means, with its spread.

    ``parts`` counts what went in and what should have; an entry that is not whole has no number.
    """

    number: float
    spread: float
    parts: tuple[int, int]
    status: Status
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Column:
    """A column: its title, how numbers are written, and whether more is better."""

    title: str
    form: str
    entry: Callable[[str, str], Entry | None]
    better: int = 0


def summary_columns(board: Leaderboard) -> list[Column]:
    """In-domain, out-of-domain and adversarial side by side, never averaged into one number."""
    tasks = board.tasks

    def measured(pair: str, method: str, task: str, evaluation: str, metric: str) -> list[Value]:
        found = [board.get(pair, task, method, evaluation, name, metric) for name in board.sets(task, evaluation)]
        return [value for value in found if value is not None]

    def over(evaluation: str, metric: Callable[[str], str]) -> Callable[[str, str], Entry | None]:
        def entry(pair: str, method: str) -> Entry | None:
            per_task, absent = [], 0
            for task in tasks:
                values = measured(pair, method, task, evaluation, metric(task))
                if values:
                    per_task.append(combine(values))
                elif any(measured(pair, other, task, evaluation, metric(task)) for other in board.methods(pair)):
                    absent += 1  # a mean over fewer tasks than others have is not comparable
            if not per_task or not absent:
                return combine_entries(per_task) if per_task else None
            return Entry(math.nan, math.nan, (len(per_task), len(per_task) + absent), "missing")

        return entry

    columns = [
        Column("in-domain", "percent", over("in_domain", board.primary), 1),
        Column("out-of-domain", "percent", over("ood", board.ood_metric), 1),
        Column("under attack", "percent", over("attack", board.attack_metric), 1),
        Column("transfer", "percent", over("transfer", board.transfer_metric), 1),
        Column("corruptions", "percent", over("corruption", lambda _: "corruption_accuracy"), 1),
        Column("mCE", "percent", over("corruption", lambda _: "mce"), -1),
        Column("agreement", "percent", over("fidelity", lambda _: "agreement"), 1),
        Column("ECE", "percent", over("calibration", lambda _: "ece"), -1),
        Column("params (M)", "millions", over("efficiency", lambda _: "parameters"), -1),
        Column("GFLOPs", "billions", over("efficiency", lambda _: "flops"), -1),
        Column("updates", "count", lambda pair, method: _training(board, pair, method, "updates")),
        Column("generator updates", "count", lambda pair, method: _training(board, pair, method, "generator_updates")),
        Column("attack passes", "count", lambda pair, method: _training(board, pair, method, "adversarial_passes")),
        Column("assistants", "count", lambda pair, method: _training(board, pair, method, "assistants")),
        Column("train (min)", "minutes", lambda pair, method: _training(board, pair, method, "minutes")),
    ]
    places = [(pair, method) for pair in board.pairs for method in board.methods(pair)]
    optional = {"generator updates", "attack passes", "assistants"}  # shown where something was spent on them
    return [
        column
        for column in columns
        if any(
            entry and (column.title not in optional or entry.number > 0) for p in places if (entry := column.entry(*p))
        )
    ]


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
        places.append(("attack", name, "success_rate", f"{name} success"))
        places.append(("attack", name, "mean_queries", f"{name} queries"))
        places.append(("attack", name, "mean_perturbed_words", f"{name} words"))
        places.append(("attack", name, "mean_norm", f"{name} norm"))
    places += [
        ("transfer", name, board.transfer_metric(task), f"{name} transfer") for name in board.sets(task, "transfer")
    ]
    measured = {(p.evaluation, p.dataset, p.metric) for p in board.values if p.task == task}

    def reader(evaluation: str, name: str, metric: str) -> Callable[[str, str], Entry | None]:
        def entry(pair: str, method: str) -> Entry | None:
            value = board.get(pair, task, method, evaluation, name, metric)
            return None if value is None else single(value)

        return entry

    return [
        Column(title, _FORMS.get(metric, "percent"), reader(evaluation, name, metric), _BETTER.get(metric, 1))
        for evaluation, name, metric, title in places
        if (evaluation, name, metric) in measured
    ]


_FORMS = {"mean_queries": "number", "mean_norm": "norm"}
_BETTER = {"success_rate": -1, "mce": -1, "mean_queries": 0, "mean_perturbed_words": 0, "mean_norm": 0}


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


def single(value: Value) -> Entry:
    """One value as an entry."""
    whole = value.status == "ok"
    return Entry(
        value.mean if whole else math.nan, value.sd, value.seeds, value.status, value.low if whole else math.nan,
        value.high if whole else math.nan,
    )  # fmt: skip


def combine(values: Iterable[Value]) -> Entry:
    """Mean over sets; one set keeps its interval."""
    known = list(values)
    return single(known[0]) if len(known) == 1 else combine_entries([single(value) for value in known])


def combine_entries(entries: list[Entry]) -> Entry:
    """Mean of means; its spread is that of a mean of independent parts. Not whole unless all parts are."""
    if len(entries) == 1:
        return entries[0]
    parts = (sum(entry.status == "ok" for entry in entries), len(entries))
    if parts[0] < parts[1]:
        failed = any(entry.status == "failed" for entry in entries)
        return Entry(math.nan, math.nan, parts, "failed" if failed else "missing")
    spread = math.sqrt(sum(entry.spread**2 for entry in entries)) / len(entries)
    return Entry(statistics.fmean(entry.number for entry in entries), spread, parts, "ok")


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


def write_entry(entry: Entry | None, form: str) -> str:
    """An entry as it stands in a table: number, ± sd over seeds, or why there is none."""
    if entry is None:
        return "–"
    if entry.status != "ok":
        return f"{entry.status} ({entry.parts[0]}/{entry.parts[1]})"
    scale, digits = {
        "percent": (100.0, 1),
        "millions": (1e-6, 1),
        "billions": (1e-9, 2),
        "count": (1.0, 0),
        "minutes": (1.0, 1),
        "number": (1.0, 1),
        "norm": (1.0, 3),
    }[form]
    if form == "millions" and entry.number < 1e6:
        digits = 2 if entry.number >= 1e5 else 3  # image students have a few thousand
    text = f"{entry.number * scale:.{digits}f}"
    return text if math.isnan(entry.spread) else f"{text} ± {entry.spread * scale:.{digits}f}"


def interval(entry: Entry | None) -> str:
    """``[low, high]`` in percent, where a single seed leaves the examples as the only spread."""
    if entry is None or math.isnan(entry.low):
        return ""
    return f"[{entry.low * 100:.1f}, {entry.high * 100:.1f}]"
