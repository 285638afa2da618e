"""Reports made by hand that hold everything a page can show."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from kdbench.reports.entries import FORMS
from kdbench.reports.model import (
    AdversarialExample,
    Cell,
    Curve,
    Heading,
    Line,
    Mark,
    MethodNote,
    PairReport,
    Provenance,
    PublishedTable,
    RankInterval,
    Report,
    Role,
    Table,
)

METHODS = (
    "finetune",
    "label-smoothing",
    "kd",
    "logit-mse",
    "takd",
    "rco",
    "annealing",
    "continuation",
    "prokd",
    "mate",
    "combined",
    "prokd+mate",
)
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    'quote " & amp; | <!-- 🙂',
    "a-name-that-nobody-would-give-to-a-method-but-somebody-will-" * 3,
    "{{ 7 * 7 }} datum['x']",
)
TASKS = ("sst2", "mrpc", "rte", "cola", "stsb")
CONTROLS = ("finetune", "label-smoothing", "logit-mse")
_SUMMARY = (
    Heading("in_domain", "in-domain", "percent", 1),
    Heading("in_domain_rank", "rank", "text", -1),
    Heading("ood", "out-of-domain", "percent", 1),
    Heading("ood_rank", "rank", "text", -1),
    Heading("attack", "under attack", "percent", 1),
    Heading("attack_rank", "rank", "text", -1),
    Heading("agreement", "agreement", "percent", 1),
    Heading("ece", "ECE", "percent", -1),
    Heading("parameters", "params (M)", "millions", -1),
    Heading("flops", "GFLOPs", "billions", -1),
    Heading("latency_ms", "latency (ms)", "milliseconds", -1),
    Heading("minutes", "train (min)", "minutes", -1),
    Heading("seeds", "seeds", "text"),
)


def full_report(methods: tuple[str, ...] = METHODS, *, seeds: int = 3) -> Report:
    """Two pairs, five tasks; of the methods of the first pair the last one failed and the one before is missing."""
    pairs = tuple(_pair(name, scale, methods, seeds) for name, scale in (("small", 1.0), ("large", 2.5)))
    ranks = [interval for pair in pairs for interval in _ranks(pair)]
    across = Table(
        "across",
        "In-domain over 10 tasks and pairs",
        (Heading("mean_rank", "mean rank", "ratio", -1),),
        tuple(
            Line(name, _role(name), (Cell(f"{i + 1:.2f}", i + 1.0, low=max(1.0, i - 0.5), high=i + 2.5),))
            for i, name in enumerate(methods[:4])
        ),
        "Mean ranks with 95 % bootstrap intervals.",
    )
    return Report(
        title="glue-robust",
        description="Five tasks, two pairs.",
        reference="kd",
        study="",
        guide=("Percentages unless said otherwise.", "Bold: the best; ≈: not separable from it."),
        pairs=pairs,
        across=across,
        ranks=tuple(ranks),
        footnotes=("margin loss far below cross-entropy (kd, small): sst2 attack", "learned nothing on cola"),
        unranked=("small: prokd+mate: failed on rte",),
        failed=("small · prokd+mate · rte · seed 2: loss is NaN at update 120",),
        skipped=("sst2, ood yelp: not in a mirror",),
        published=(
            PublishedTable(
                "GLUE dev", "A paper, 2022, table 3", "One number per method.", (("BERT", (("kd", 77.65),)),)
            ),
        ),
        methods=tuple(MethodNote(name, "A & B, 2021", (("", "temperature 4, alpha 0.5"),)) for name in methods),
        security=tuple(_security(pairs, methods)),
        training=tuple(_training(methods)),
        provenance=Provenance(
            suite="glue-robust",
            suite_version=1,
            budget="quick",
            version="51cd3dd3297d",
            commands=("kdbench run --suite glue-robust", "kdbench report --suite glue-robust"),
            machines=("Linux x86_64, 2 cores, cpu",),
            software=("python 3.11.7, torch 2.13.0",),
            data=(("sst2: training", "nyu-mll/glue sst2 train", "sha256:" + "c7b31967" * 8),),
            cells=312,
            peak_memory_mb=3428.0,
            attacks=(("words", "words/1+textattack-0.3.11 51cd3dd3297d"),),
        ),
        examples=tuple(_example(method, task) for task in TASKS[:2] for method in methods[:3]),
    )


def bare_report() -> Report:
    """One pair, one task, one seed: no ood, no attack, no ranks, no pictures, nothing published."""
    full = full_report(METHODS[:3], seeds=1)
    pair = full.pairs[0]
    keys = ("in_domain", "seeds")
    at = [i for i, heading in enumerate(pair.summary.headings) if heading.key in keys]
    summary = replace(
        pair.summary,
        headings=tuple(pair.summary.headings[i] for i in at),
        lines=tuple(replace(line, cells=tuple(line.cells[i] for i in at), notes=()) for line in pair.summary.lines),
    )
    return replace(
        full,
        pairs=(replace(pair, summary=summary, differences=None, tasks=pair.tasks[:1]),),
        across=None,
        ranks=(),
        footnotes=(),
        unranked=(),
        failed=(),
        skipped=(),
        published=(),
        security=(),
        training=(),
        examples=(),
        provenance=replace(full.provenance, attacks=()),
        description="",
    )


def _role(name: str) -> Role:
    return "teacher" if name == "teacher" else "control" if name in CONTROLS else "method"


def _pair(name: str, scale: float, methods: tuple[str, ...], seeds: int) -> PairReport:
    random = np.random.default_rng(int(scale * 10))
    lines = []
    scores: dict[str, float] = {}
    for i, method in enumerate(("teacher", *methods)):
        teacher = method == "teacher"
        score = 0.86 if teacher else 0.74 + 0.015 * scale + 0.04 * random.random()
        scores[method] = score
        bad = name == "small" and len(methods) > 5 and method in methods[-2:]
        status = "failed" if method == methods[-1] else "missing"
        numbers = (
            (score, "percent"),
            (math.nan, "text") if teacher else (1.0 + i, "text"),
            (score - 0.08, "percent"),
            (math.nan, "text") if teacher else (1.0 + i, "text"),
            (score / 3 + 0.05 * random.random(), "percent"),
            (math.nan, "text") if teacher else (1.0 + i, "text"),
            (math.nan if teacher else 0.8 + 0.1 * random.random(), "percent"),
            (0.04 + 0.02 * random.random(), "percent"),
            (22.6e6 * scale if teacher else 11.2e6 * scale, "millions"),
            (65e9 * scale if teacher else 33e9 * scale, "billions"),
            ((30.0 if teacher else 15.0) * scale + random.random(), "milliseconds"),
            ((12.0 if teacher else 4.0 + 9 * random.random()) * scale, "minutes"),
        )
        cells = []
        for column, (number, form) in enumerate(numbers):
            notes = (1,) if method == "kd" and column == 4 else ()
            if bad and column < 8:
                cells.append(
                    Cell("–", status="none") if column in (1, 3, 5) else Cell(f"{status} (1/3)", status=status)
                )
            else:
                cells.append(_cell(number, form, seeds if column in (0, 2, 4) else 0, notes))
        cells.append(Cell(f"{seeds}/{seeds}", seeds))
        lines.append(Line(method, _role(method), tuple(cells), (2,) if method == "kd" else ()))
    best = max((m for m in scores if m != "teacher"), key=lambda m: (lines_number(lines, m), m))
    marked = tuple(
        replace(line, cells=(replace(line.cells[0], mark=_mark(line, lines, best)), *line.cells[1:])) for line in lines
    )
    summary = Table("summary", name, _SUMMARY, marked)
    differences = Table(
        "differences",
        f"{name}: against kd",
        (Heading("in_domain", "in-domain", "points", 1), Heading("in_domain_p", "p", "p")),
        tuple(
            Line(m, _role(m), (Cell(f"{100 * d:+.1f}", d, low=d - 0.02, high=d + 0.02), Cell("0.21", 0.21)))
            for m in methods
            if m != "kd" and not math.isnan(d := lines_number(lines, m) - lines_number(lines, "kd"))
        ),
        "Points above or below kd.",
    )
    tasks = tuple(_task(name, task, marked, random) for task in TASKS)
    attacks = tuple(_attack(name, task, marked) for task in TASKS[:2])
    return PairReport(name, f"student-{name}", summary, differences if "kd" in methods else None, tasks, attacks)


def _attack(pair: str, task: str, lines: tuple[Line, ...]) -> Table:
    headings = (
        Heading("attack/words/success", "success", "percent", -1),
        Heading("quality/words/similarity", "similarity", "ratio"),
    )
    cells = (_cell(0.4, "percent", 3), _cell(0.87, "ratio", 0))
    rows = tuple(Line(line.name, line.role, cells) for line in lines)
    return Table(f"{task}/words", f"{pair}: {task} under words", headings, rows)


def _example(method: str, task: str) -> AdversarialExample:
    """Of a long text, with a name that may be hostile among its words."""
    same = ("is what the film says of itself, and " * 8).strip()
    original, perturbed = ((HOSTILE[0], True), (same, False)), ((f"{method} & co", True), (same, False), ("</p>", True))
    return AdversarialExample("small", task, "words", method, 1, original, perturbed, "positive", "negative", 0.87)


def lines_number(lines: list[Line], method: str) -> float:
    """The in-domain score; NaN where there is none."""
    return next((line.cells[0].number for line in lines if line.name == method), math.nan)


def _mark(line: Line, lines: list[Line], best: str) -> Mark:
    if line.role == "teacher" or math.isnan(line.cells[0].number):
        return ""
    return "best" if line.name == best else "tied" if lines_number(lines, best) - line.cells[0].number < 0.01 else ""


def _cell(number: float, form: str, seeds: int, notes: tuple[int, ...] = ()) -> Cell:
    if math.isnan(number):
        return Cell("–", status="none", notes=notes)
    if form == "text":
        return Cell(f"{number:g}–{number + 2:g}", number + 1, notes=notes)
    factor, digits = FORMS[form]
    text = f"{number * factor:,.{digits}f}"
    if seeds > 1:
        return Cell(f"{text} ± {0.4:.{digits}f}", number, spread=0.4 / factor, notes=notes)
    bounds = {"low": number - 0.03, "high": number + 0.03} if seeds else {}
    return Cell(text, number, notes=notes, **bounds)


def _task(pair: str, task: str, lines: tuple[Line, ...], random: np.random.Generator) -> Table:
    headings = (
        Heading(f"in_domain/{task}/accuracy", "accuracy", "percent", 1),
        Heading("attack/words/accuracy_under_attack", "words", "percent", 1),
        Heading("attack/words/mean_queries", "words queries", "number"),
    )
    rows = []
    for line in lines:
        ok = line.cells[0].status == "ok"
        shift = 0.06 * (TASKS.index(task) - 2)
        first = _cell(line.cells[0].number + shift + 0.02 * random.random(), "percent", 3) if ok else line.cells[0]
        rows.append(Line(line.name, line.role, (first, _cell(0.2 + 0.1 * random.random(), "percent", 0),
                                                _cell(100 * random.random(), "number", 0))))  # fmt: skip
    return Table(task, f"{pair}: {task}", headings, tuple(rows))


def _ranks(pair: PairReport) -> list[RankInterval]:
    found = []
    for axis in ("in_domain", "ood", "attack"):
        cells = pair.summary.column(axis)
        roles = {line.name: line.role for line in pair.summary.lines}
        ranked = sorted(
            (name for name, cell in cells.items() if roles[name] != "teacher" and cell.status == "ok"),
            key=lambda name: -cells[name].number,
        )
        for i, name in enumerate(ranked):
            best, worst = max(1, i - 1), min(len(ranked), i + 3)
            found.append(
                RankInterval(pair.name, axis, name, cells[name].number, best, worst,
                             max(1.0, i - 0.4), min(float(len(ranked)), i + 2.6))
            )  # fmt: skip
    return found


def _security(pairs: tuple[PairReport, ...], methods: tuple[str, ...]) -> list[Curve]:
    budgets = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
    found = []
    for pair in pairs:
        for task in TASKS[:2]:
            for i, method in enumerate(("teacher", *methods)):
                kept = tuple(0.85 / (1 + (budget / (30 + 6 * i)) ** 0.9) for budget in budgets)
                low, high = tuple(max(0.0, y - 0.05) for y in kept), tuple(min(1.0, y + 0.05) for y in kept)
                panel = f"{pair.name} · {task} · words"
                found.append(Curve(panel, method, budgets, kept, low, high, "queries allowed", "still right"))
    return found


def _training(methods: tuple[str, ...]) -> list[Curve]:
    found = []
    for i, method in enumerate(methods):
        x = tuple(float(step) for step in range(100, 1000, 100 + 20 * (i % 2)))
        score = tuple(0.5 + 0.3 * (1 - math.exp(-step / (200 + 20 * i))) for step in x)
        loss = tuple(2 * math.exp(-step / 300) + 0.1 for step in x)
        found.append(
            Curve("small · sst2 · selection score", method, x, score, x_title="updates", y_title="selection score")
        )
        found.append(Curve("small · sst2 · hard loss", method, x, loss, x_title="updates", y_title="hard loss"))
    return found
