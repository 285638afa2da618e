"""Columns that appear when something was measured: corruptions, transfer, attacks on images; settings and commands."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from kdbench.reports.attack_tables import attack_columns
from kdbench.reports.build import report_of
from kdbench.reports.columns import summary_columns, task_columns
from kdbench.reports.commands import portable_command
from kdbench.reports.markdown import to_markdown
from kdbench.reports.model import Report
from kdbench.reports.table import Leaderboard, build_leaderboard
from kdbench.reports.terminal import print_report
from kdbench.rows import TEACHER
from tests.reports.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "store")


def board_of(world: World, **manifest: object) -> Leaderboard:
    return build_leaderboard(world.store, world.manifest(**manifest))  # type: ignore[arg-type]


def report_on(world: World, **manifest: object) -> Report:
    return report_of(world.store, board_of(world, **manifest))


def titles(board: Leaderboard) -> list[str]:
    return [column.title for column in summary_columns(board)]


def number(board: Leaderboard, title: str, method: str) -> float:
    column = next(column for column in summary_columns(board) if column.title == title)
    entry = column.entry("p", method)
    assert entry is not None and entry.status == "ok"
    return entry.number


def add_corruption(world: World, method: str, seed: int, fog: float, snow: float, *, done: bool = True) -> None:
    table = {"fog": {"1": fog, "2": fog}, "snow": {"1": snow, "2": snow}}
    metrics = {"corruption_accuracy": (fog + snow) / 2} if done else None
    world.add(method, seed, "corruption", "computed", metrics, details={"accuracy": table})


def test_corruption_errors_are_relative_to_finetune_of_the_same_seed(world: World) -> None:
    """By hand: errors 0.1 and 0.3 against 0.2 and 0.4 in seed 1, twice finetune's in seed 2.

    The teacher, which has one seed, is compared with both.
    """
    add_corruption(world, TEACHER, 0, 0.9, 0.8)
    add_corruption(world, "finetune", 1, 0.8, 0.6)
    add_corruption(world, "finetune", 2, 0.6, 0.8)
    add_corruption(world, "kd", 1, 0.9, 0.7)
    add_corruption(world, "kd", 2, 0.2, 0.6)
    board = board_of(world)
    assert titles(board)[:2] == ["corruptions", "mCE"]
    assert number(board, "mCE", "finetune") == pytest.approx(1)
    assert number(board, "mCE", "kd") == pytest.approx(((0.5 + 0.75) / 2 + 2) / 2)
    assert number(board, "mCE", TEACHER) == pytest.approx(((0.5 + 0.5) / 2 + (0.25 + 1) / 2) / 2)
    assert number(board, "corruptions", "kd") == pytest.approx((0.8 + 0.4) / 2)
    line = next(line for line in to_markdown(report_on(world)).splitlines() if line.startswith("| kd |"))
    assert "131.2 ± 97.2" in line


def test_no_corruption_error_without_its_reference(world: World) -> None:
    """A missing finetune leaves only its own seed open; finetune never asked for, no column at all."""
    add_corruption(world, "kd", 1, 0.9, 0.7)
    add_corruption(world, "kd", 2, 0.9, 0.7)
    assert titles(board_of(world)) == ["corruptions"]
    add_corruption(world, "finetune", 1, 0.8, 0.6)
    add_corruption(world, "finetune", 2, 0.8, 0.6, done=False)
    lines = to_markdown(report_on(world)).splitlines()
    assert next(line for line in lines if line.startswith("| kd | 80.0 ± 0.0 | missing (1/2) |"))


def test_transfer_and_norms_where_they_were_measured(world: World) -> None:
    """Text has changed words, images have norms; the clean accuracy of a shared sample is printed once."""
    attack = {"accuracy_under_attack": 0.2, "clean_accuracy": 0.8, "success_rate": 0.75}
    for name in ("fgsm", "pgd"):
        world.add("kd", 1, "attack", name, {**attack, "mean_norm": 0.0314})
        world.add("kd", 1, "transfer", name, {"accuracy_under_transfer": 0.6})
    board = board_of(world)
    assert titles(board) == ["attacked sample, clean", "under attack", "transfer"]
    assert number(board, "transfer", "kd") == pytest.approx(0.6)
    assert [column.title for column in task_columns(board, "t")] == ["clean (attacked sample)", "fgsm", "pgd"]
    found = [column.title for column in attack_columns(board, "t", "fgsm")]
    assert found == ["success of attacked", "s / example", "norm", "transfer"]
    text = to_markdown(report_on(world))
    assert "| kd | 80.0 [67.0, 88.8] | 20.0 [11.2, 33.0] | 20.0 [11.2, 33.0] |" in text
    assert "### p: t under fgsm" in text and "| kd | 75.0 | 1.20 | 0.031 | 60.0 [46.2, 72.4] |" in text
    assert "Transfer: accuracy" in text and "mCE" not in text


def test_samples_of_their_own_have_their_own_clean_accuracy(world: World) -> None:
    for name, clean in (("a", 0.8), ("b", 0.7)):
        world.add("kd", 1, "attack", name, {"accuracy_under_attack": 0.2, "clean_accuracy": clean})
    assert [column.title for column in task_columns(board_of(world), "t")] == [
        "a clean", "a", "b clean", "b"
    ]  # fmt: skip


def test_trajectory_is_no_column(world: World) -> None:
    """It is the study's; and an unfinished one is no missing score of the teacher."""
    world.add(TEACHER, 0, "in_domain", "t", {"accuracy": 0.9})
    world.add(TEACHER, 0, "trajectory", "t", None)
    board = board_of(world)
    assert titles(board) == ["in-domain"]
    assert {place.evaluation for place in board.values} == {"in_domain"}


def test_settings_by_kind_only_where_they_differ(tmp_path: Path) -> None:
    world = World(tmp_path / "store", metrics={"t": ["accuracy"], "i": ["accuracy"]})
    for task in ("t", "i"):
        for method in ("kd", "dkd"):
            world.add(method, 1, "in_domain", task, {"accuracy": 0.5}, task=task)
    for kind, alpha in (("text-classification", 0.5), ("text-regression", 9.0), ("image-classification", 0.1)):
        world.settings("kd", {"alpha": alpha}, kind=kind)
        world.settings("dkd", {"beta": 8.0}, kind=kind)
    lines = to_markdown(report_on(world, kinds={"i": "image-classification"})).splitlines()
    at = lines.index("- **kd** (A | B)".replace("|", "\\|"))
    assert lines[at + 1 : at + 3] == ["  - text-classification: alpha 0.5", "  - image-classification: alpha 0.1"]
    assert "- **dkd** (A \\| B): beta 8.0" in lines, "no kind that no task has, and one line where all agree"


def test_drop_is_a_multiple_of_the_teachers(world: World) -> None:
    """By hand: 0.8 to 0.6 against 0.9 to 0.8. Nothing to compare with where the teacher loses nothing."""
    for method, inside, outside in ((TEACHER, 0.9, 0.8), ("kd", 0.8, 0.6)):
        world.add(method, 1, "in_domain", "t", {"accuracy": inside})
        world.add(method, 1, "ood", "far", {"accuracy": outside})
    assert number(board_of(world), "drop / teacher's", "kd") == pytest.approx(2)


def test_no_drop_where_the_teacher_loses_nothing(world: World) -> None:
    for method, inside, outside in ((TEACHER, 0.8, 0.8), ("kd", 0.8, 0.6)):
        world.add(method, 1, "in_domain", "t", {"accuracy": inside})
        world.add(method, 1, "ood", "far", {"accuracy": outside})
    assert "drop / teacher's" not in titles(board_of(world))


def test_latency_is_what_runs_measured_and_size_has_no_spread(world: World) -> None:
    """Two seeds of one architecture; a seed without a measurement leaves the column incomplete."""
    for seed, milliseconds in ((1, 10.0), (2, 20.0)):
        key = world.add("kd", seed, "efficiency", "t", {"parameters": 2e6})
        path = world.store.cell(key) / "run.json"
        run = json.loads(path.read_text(encoding="utf-8")) | {"measured": {"latency_ms": milliseconds, "repeats": 5}}
        path.write_text(json.dumps(run), encoding="utf-8")
    report = report_on(world)
    assert report.pairs[0].summary.column("latency_ms")["kd"].text == "15.0"
    assert report.pairs[0].summary.column("parameters")["kd"].text == "2.0"
    world.add("kd", 3, "efficiency", "t", None)
    assert report_on(world).pairs[0].summary.column("latency_ms")["kd"].text == "missing (2/3)"


def test_spread_is_that_of_the_seeds_own_means(world: World) -> None:
    """By hand: (0.6 + 0.5) / 2 and (0.8 + 0.5) / 2, whatever order the seeds were planned in."""
    for seed, a in ((2, 0.8), (1, 0.6)):
        world.add("kd", seed, "ood", "a", {"accuracy": a})
    for seed in (1, 2):
        world.add("kd", seed, "ood", "b", {"accuracy": 0.5})
    board = board_of(world)
    assert next(value.by_seed for place, value in board.values.items() if place.dataset == "a") == (0.6, 0.8)
    cell = report_of(world.store, board).pairs[0].summary.column("ood")["kd"]
    assert cell.number == pytest.approx(0.6) and cell.spread == pytest.approx(0.1 / math.sqrt(2))


def test_seeds_and_examples_are_counted(tmp_path: Path) -> None:
    """A seed counts when it finished on every task; examples are those of one seed, in all tasks and sets."""
    world = World(tmp_path / "store", metrics={"t": ["accuracy"], "u": ["accuracy"]})
    for task, seeds in (("t", (1, 2)), ("u", (1,))):
        for seed in (1, 2):
            world.add("kd", seed, "", "", {} if seed in seeds else None, task=task)
            world.add("kd", seed, "in_domain", task, {"accuracy": 0.5}, task=task)
    world.add("kd", 1, "ood", "far", {"accuracy": 0.5}, task="t")
    (pair,) = report_on(world).pairs
    assert pair.summary.column("seeds")["kd"].text == "1/2"
    assert pair.summary.column("examples")["kd"].text == "100 / 50 / 0"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("kdbench run --suite s --data /home/me/data", "kdbench run --suite s --data DIR"),
        ("kdbench run --models=/m --store /s --plugin /x/a.py", "kdbench run --models=DIR --store DIR --plugin a.py"),
        ("kdbench run --suite /home/me/my.yaml --data ../data", "kdbench run --suite my.yaml --data ../data"),
        ("kdbench run --data '/with space/d' --methods kd", "kdbench run --data DIR --methods kd"),
        ("kdbench run --set kd.alpha=0.5 --set 'a.b=[1, 2]'", "kdbench run --set kd.alpha=0.5 --set 'a.b=[1, 2]'"),
    ],
)  # fmt: skip
def test_commands_name_no_folder_of_this_machine(typed: str, shown: str) -> None:
    assert portable_command(typed) == shown


def test_command_block_tells_each_command_once(world: World) -> None:
    world.add("kd", 1, "in_domain", "t", {"accuracy": 0.5})
    commands = ("kdbench run --suite s --data /a", "kdbench run --suite s --data /b/c")
    text = to_markdown(report_on(world, commands=commands))
    assert "```\nkdbench run --suite s --data DIR\nkdbench report --suite s\n```" in text


def test_terminal_prints_what_fits_and_every_set_of_a_single_task(world: World) -> None:
    """The mean corruption error is in the table of sets; the summary has the accuracy."""
    add_corruption(world, "finetune", 1, 0.8, 0.6)
    stream = io.StringIO()
    print_report(report_on(world), Console(width=120, file=stream))
    summary, sets = stream.getvalue().split("t, set by set")
    assert "70.0" in summary and "mCE" not in summary
    assert "mCE computed" in sets and "100.0" in sets


def test_a_mean_over_fewer_tasks_than_others_have_is_no_number(tmp_path: Path) -> None:
    """Otherwise the method that skipped the hard task would look best; what nobody measured is not missed."""
    world = World(tmp_path / "store", metrics={"t": ["accuracy"], "hard": ["accuracy"], "idle": ["accuracy"]})
    for method, task, value in (("kd", "t", 0.9), ("kd", "hard", 0.5), ("new", "t", 0.9)):
        world.add(method, 1, "in_domain", task, {"accuracy": value}, task=task)
    world.add("kd", 1, "fidelity", "t", {"agreement": 0.5}, task="t")
    board = board_of(world)
    assert number(board, "in-domain", "kd") == pytest.approx(0.7)
    lines = to_markdown(report_on(world)).splitlines()
    assert next(line for line in lines if line.startswith("| new | missing (1/2) | – |"))


def test_questions_have_their_own_columns(world: World) -> None:
    """F1 in every place where others have accuracy, with intervals; exact match under attack beside it."""
    attack = {"f1_under_attack": 0.3, "exact_match_under_attack": 0.2, "clean_f1": 0.6, "clean_exact_match": 0.5}
    attack |= {"accuracy_under_attack": 0.4, "clean_accuracy": 0.7, "success_rate": 0.5, "mean_queries": 20.0}
    world.add("kd", 1, "in_domain", "t", {"token_f1": 0.6, "exact_match": 0.5})
    world.add("kd", 1, "ood", "o", {"token_f1": 0.4, "exact_match": 0.3})
    world.add("kd", 1, "attack", "a", attack)
    world.add("kd", 1, "transfer", "a", {"f1_under_transfer": 0.5, "transfer_rate": 0.2})
    world.metrics["t"] = ["token_f1", "exact_match"]
    board = board_of(world, kinds={"t": "question-answering"})
    found = {title: number(board, title, "kd") for title in titles(board)}
    assert found == {
        "in-domain": 0.6, "out-of-domain": 0.4, "attacked sample, clean": 0.6, "under attack": 0.3, "transfer": 0.5,
    }  # fmt: skip
    assert [column.title for column in task_columns(board, "t")] == [
        "token_f1", "exact_match", "ood o", "clean (attacked sample)", "a", "a exact match",
    ]  # fmt: skip
    assert [column.title for column in attack_columns(board, "t", "a")] == [
        "success of attacked", "queries", "s / example", "transfer", "transfer rate",
    ]  # fmt: skip
    text = to_markdown(report_on(world, kinds={"t": "question-answering"}))
    assert "60.0 [46.2, 72.4]" in text and "Of answers: token F1" in text


def test_unfinished_questions_are_missing_under_their_own_names(world: World) -> None:
    """Not as an accuracy that no cell will ever have."""
    world.metrics["t"] = ["token_f1"]
    for evaluation, name in (("in_domain", "t"), ("ood", "o"), ("attack", "a"), ("transfer", "a")):
        world.add("kd", 1, evaluation, name, None)
    world.add("finetune", 1, "in_domain", "t", {"token_f1": 0.5})
    board = board_of(world, kinds={"t": "question-answering"})
    assert {place.metric for place in board.values} == {"token_f1", "f1_under_attack", "f1_under_transfer"}
