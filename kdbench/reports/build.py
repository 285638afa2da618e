"""From a store and a manifest to the report that every renderer is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from kdbench.errors import ReportError
from kdbench.manifest import Manifest
from kdbench.reports.across import across_table, write_p
from kdbench.reports.attack_tables import attack_columns
from kdbench.reports.axes import AXES
from kdbench.reports.columns import Column, summary_columns, task_columns
from kdbench.reports.curves import security_curves, training_curves
from kdbench.reports.entries import write_entry
from kdbench.reports.examples import adversarial_examples
from kdbench.reports.footnotes import Footnotes, collect_footnotes
from kdbench.reports.guide import reading_guide
from kdbench.reports.model import Cell, Heading, Line, Mark, PairReport, RankInterval, Report, Role, Table
from kdbench.reports.outcomes import OutcomeReader
from kdbench.reports.provenance import method_notes, provenance
from kdbench.reports.published import published_tables
from kdbench.reports.standings import Standings, build_standings, pick_reference
from kdbench.reports.table import Leaderboard, build_leaderboard
from kdbench.rows import CONTROLS, TEACHER
from kdbench.store import Store


def build_report(store: Store, manifest: Manifest, reference: str = "") -> Report:
    """Read the records a manifest names and work everything out.

    Args:
        store: where the cells are; weights are not needed.
        manifest: what was asked for.
        reference: the method that others are compared with [kd, else finetune].

    Raises:
        ReportError: not a single cell has finished, or there is no such reference method.
    """
    return report_of(store, build_leaderboard(store, manifest), reference)


def report_of(store: Store, board: Leaderboard, reference: str = "") -> Report:
    """The same from a leaderboard that is already there."""
    manifest = board.manifest
    if reference and all(reference not in board.students(pair) for pair in board.pairs):
        known = ", ".join(dict.fromkeys(m for pair in board.pairs for m in board.students(pair)))
        raise ReportError(f"suite {manifest.suite}: no method '{reference}' to compare with (there are: {known})")
    reader = OutcomeReader(store, board)
    standings = build_standings(board, reader, pick_reference(board, reference))
    notes = collect_footnotes(board, reader)
    return Report(
        title=manifest.suite,
        description=" ".join(manifest.description.split()),
        reference=standings.reference,
        study=manifest.study,
        guide=reading_guide(board, standings),
        pairs=tuple(_pair(board, pair, standings, notes) for pair in board.pairs),
        across=across_table(board, standings),
        ranks=tuple(_rank_intervals(standings)),
        footnotes=tuple(notes.texts),
        unranked=standings.unranked,
        failed=tuple(board.failures),
        skipped=tuple(f"{s.task}, {s.evaluation} {s.dataset}: {s.reason}" for s in manifest.skipped),
        published=published_tables(manifest.suite),
        methods=method_notes(manifest),
        security=tuple(security_curves(store, board, reader)),
        training=tuple(training_curves(store, board)),
        provenance=provenance(board),
        examples=adversarial_examples(store, board),
    )


def _pair(board: Leaderboard, pair: str, standings: Standings, notes: Footnotes) -> PairReport:
    tasks, attacks = [], []
    for task in board.tasks:
        columns = _with_entries(board, pair, task_columns(board, task))
        if columns:
            tasks.append(_task_table(board, pair, task, columns, notes))
        for name in board.sets(task, "attack"):
            columns = _with_entries(board, pair, attack_columns(board, task, name))
            if columns:
                table = _task_table(board, pair, task, columns, notes)
                attacks.append(replace(table, key=f"{task}/{name}", title=f"{pair}: {task} under {name}"))
    return PairReport(
        name=pair,
        student=board.manifest.students.get(pair, ""),
        summary=_summary(board, pair, standings, notes),
        differences=_differences(board, pair, standings),
        tasks=tuple(tasks),
        attacks=tuple(attacks),
    )


def _with_entries(board: Leaderboard, pair: str, columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if any(column.entry(pair, method) for method in board.methods(pair))]


def _role(method: str) -> Role:
    return "teacher" if method == TEACHER else "control" if method in CONTROLS else "method"


def _summary(board: Leaderboard, pair: str, standings: Standings, notes: Footnotes) -> Table:
    columns = _with_entries(board, pair, summary_columns(board))
    headings: list[Heading] = []
    for column in columns:
        headings.append(Heading(column.key, column.title, column.form, column.better))
        if (pair, column.key) in standings.by_place:
            headings.append(Heading(f"{column.key}_rank", "rank", "text", -1))
    headings += [Heading("seeds", "seeds", "text"), Heading("examples", "examples", "text")]
    lines = []
    for method in board.methods(pair):
        cells: list[Cell] = []
        for column in columns:
            standing = standings.get(pair, column.key, method)
            mark: Mark = "best" if standing and standing.best else "tied" if standing and standing.tied else ""
            cells.append(_cell(column, pair, method, notes.of(pair, method, column.key), mark))
            if (pair, column.key) in standings.by_place:
                cells.append(_rank(standings, pair, column.key, method))
        cells += [_seeds(board, pair, method), _examples(board, pair, method)]
        lines.append(Line(method, _role(method), tuple(cells), notes.of(pair, method, "")))
    return Table("summary", pair, tuple(headings), tuple(lines))


def _cell(column: Column, pair: str, method: str, notes: tuple[int, ...], mark: Mark = "") -> Cell:
    entry = column.entry(pair, method)
    text = write_entry(entry, column.form)
    if entry is None:
        return Cell(text, status="none", notes=notes)
    number = entry.number if entry.status == "ok" else math.nan
    return Cell(text, number, entry.spread, entry.low, entry.high, entry.status, mark, notes)


def _rank(standings: Standings, pair: str, axis: str, method: str) -> Cell:
    standing = standings.get(pair, axis, method)
    if standing is None:
        return Cell("–", status="none")
    first, last = standing.ranks
    return Cell(str(first) if first == last else f"{first}–{last}", (first + last) / 2)


def _seeds(board: Leaderboard, pair: str, method: str) -> Cell:
    """Seeds whose trainings finished on every task, of those that were planned."""
    rows = [r for r in board.manifest.rows if (r.pair, r.method, r.evaluation) == (pair, method, "")]
    planned = {row.seed for row in rows}
    done = {seed for seed in planned if all(row.key in board.records for row in rows if row.seed == seed)}
    return Cell(f"{len(done)}/{len(planned)}", len(done))


def _examples(board: Leaderboard, pair: str, method: str) -> Cell:
    """Examples of one seed's evaluations: in-domain, out-of-domain, attacked."""
    counts = dict.fromkeys(AXES, 0)
    for axis in AXES:
        for task in board.tasks:
            metric = board.axis_metric(axis, task)
            for name in board.sets(task, axis):
                value = board.get(pair, task, method, axis, name, metric)
                counts[axis] += value.examples if value else 0
    return Cell(" / ".join(f"{count:,}" for count in counts.values()), counts["in_domain"])


def _differences(board: Leaderboard, pair: str, standings: Standings) -> Table | None:
    axes = [axis for axis in AXES if any(s.against for s in standings.by_place.get((pair, axis), {}).values())]
    if not axes:
        return None
    headings = [
        heading for axis in axes for heading in (Heading(axis, AXES[axis], "points", 1), Heading(f"{axis}_p", "p", "p"))
    ]
    lines = []
    for method in board.students(pair):
        if method == standings.reference:
            continue
        cells: list[Cell] = []
        for axis in axes:
            standing = standings.get(pair, axis, method)
            against = standing.against if standing else None
            if against is None:
                cells += [Cell("–", status="none")] * 2
                continue
            text = f"{against.value * 100:+.1f}"
            cells.append(Cell(text, against.value, low=against.low, high=against.high))
            cells.append(Cell(write_p(against.p), against.p))
        lines.append(Line(method, _role(method), tuple(cells)))
    caption = (
        f"Points above or below {standings.reference}, with 95 % intervals of each difference; p-values are "
        "Holm-corrected for all methods of a column: separable below 0.05."
    )
    return Table("differences", f"{pair}: against {standings.reference}", tuple(headings), tuple(lines), caption)


def _task_table(board: Leaderboard, pair: str, task: str, columns: list[Column], notes: Footnotes) -> Table:
    lines = []
    for method in board.methods(pair):
        cells = []
        for column in columns:
            evaluation, dataset, metric = column.key.split("/")
            headline = metric in _headlines(board, task).get(evaluation, ())
            own = notes.of_set(pair, method, task, evaluation, dataset) if headline else ()
            cells.append(_cell(column, pair, method, own))
        lines.append(Line(method, _role(method), tuple(cells)))
    headings = tuple(Heading(column.key, column.title, column.form, column.better) for column in columns)
    return Table(task, f"{pair}: {task}", headings, tuple(lines))


def _headlines(board: Leaderboard, task: str) -> dict[str, tuple[str, ...]]:
    """The metric of each evaluation that footnotes stand at."""
    return {
        "in_domain": (board.primary(task),),
        "ood": (board.ood_metric(task),),
        "attack": (board.attack_metric(task),),
        "transfer": (board.transfer_metric(task),),
        "corruption": ("corruption_accuracy",),
    }


def _rank_intervals(standings: Standings) -> list[RankInterval]:
    return [
        RankInterval(pair, axis, method, standing.score, *standing.ranks, *standing.rank_interval)
        for (pair, axis), members in standings.by_place.items()
        for method, standing in members.items()
    ]
