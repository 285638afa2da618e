"""The local engine under everything that can go wrong: kills, full disks, rivals, broken methods."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from kdbench.store import Store
from tests.conftest import command, contents, kdbench, write_suite
from tests.engines.processes import checkpointed_student, gone, start, wait_for, workers_of

METHODS = "kd,annealing,mate,random-teacher,takd"

RAISES = """
from dataclasses import dataclass
from kdbench.methods import CrossEntropy, Method, Stage, constant, register_method

@dataclass(frozen=True)
class Broken(CrossEntropy):
    def hard(self, student, labels, context):
        raise ZeroDivisionError("this objective is broken")

@register_method("raises")
class Raises(Method):
    '''Fails in its first update.'''
    def stages(self, budget, trajectory):
        return [Stage("only", constant(budget.total), Broken())]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an uninterrupted run by one worker."""
    folder = tmp_path_factory.mktemp("finished")
    write_suite(folder / "tiny.yaml", epochs=12)
    kdbench("run", "--suite", "./tiny.yaml", "--methods", METHODS, "--jobs", 1, cwd=folder)
    return folder


def start_run(folder: Path) -> subprocess.Popen[str]:
    """A run of the same suite in another folder, by one worker, in the background."""
    return start(folder, "run", "--suite", "./tiny.yaml", "--methods", METHODS, "--jobs", 1)


def test_two_workers_leave_the_same_bytes_as_one(finished: Path, tmp_path: Path) -> None:
    shutil.copy(finished / "tiny.yaml", tmp_path)
    kdbench("run", "--suite", "./tiny.yaml", "--methods", METHODS, "--jobs", 2, cwd=tmp_path)
    assert contents(tmp_path / ".kdbench/store") == contents(finished / ".kdbench/store")


def test_killed_run_resumes_to_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    shutil.copy(finished / "tiny.yaml", tmp_path)
    store = tmp_path / ".kdbench/store"
    run = start_run(tmp_path)
    wait_for(lambda: checkpointed_student(store))
    workers = workers_of(run.pid)
    run.kill()
    run.wait()
    assert workers, "the run had a worker when it was killed"
    wait_for(lambda: gone(workers), 20)
    before = contents(store)
    output = kdbench("run", "--suite", "./tiny.yaml", "--methods", METHODS, "--jobs", 1, cwd=tmp_path).stdout
    after = contents(store)
    assert after == contents(finished / ".kdbench/store")
    assert before.items() <= after.items(), "what was finished is untouched"
    assert f"{len(list(store.glob('cells/*/*')))} cells finished" not in output, "finished cells were reused"


def test_killed_worker_fails_its_cell_and_the_next_run_mends_it(finished: Path, tmp_path: Path) -> None:
    shutil.copy(finished / "tiny.yaml", tmp_path)
    store = tmp_path / ".kdbench/store"
    run = start_run(tmp_path)
    wait_for(lambda: checkpointed_student(store))
    os.kill(workers_of(run.pid)[0], signal.SIGKILL)
    output = run.communicate(timeout=300)[0]
    assert run.returncode == 1, output
    assert "signal 9" in output
    kdbench("run", "--suite", "./tiny.yaml", "--methods", METHODS, "--jobs", 1, cwd=tmp_path)
    assert contents(store) == contents(finished / ".kdbench/store")
    assert not list(store.glob("failed/*.json"))


def test_interrupt_says_how_to_go_on_and_leaves_no_worker(tmp_path: Path) -> None:
    write_suite(tmp_path / "tiny.yaml", epochs=200)
    run = start_run(tmp_path)
    wait_for(lambda: checkpointed_student(tmp_path / ".kdbench/store"))
    workers = workers_of(run.pid)
    run.send_signal(signal.SIGINT)
    output = run.communicate(timeout=60)[0]
    assert run.returncode == 130, output
    assert "the same command goes on" in output
    assert not any(Path(f"/proc/{pid}/cmdline").exists() for pid in workers)


def test_two_runs_on_one_store_agree(finished: Path, tmp_path: Path) -> None:
    shutil.copy(finished / "tiny.yaml", tmp_path)
    rivals = [start_run(tmp_path) for _ in range(2)]
    outputs = [rival.communicate(timeout=400)[0] for rival in rivals]
    assert [rival.returncode for rival in rivals] == [0, 0], outputs
    assert contents(tmp_path / ".kdbench/store") == contents(finished / ".kdbench/store")


def test_full_disk_publishes_nothing_and_loses_nothing(finished: Path, tmp_path: Path) -> None:
    shutil.copy(finished / "tiny.yaml", tmp_path)
    store = tmp_path / ".kdbench/store"

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))

    arguments = command("run", "--suite", "./tiny.yaml", "--methods", "finetune", "--jobs", 1)
    run = subprocess.run(
        arguments, cwd=tmp_path, preexec_fn=small_files_only, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert "File too large" in run.stdout
    assert not contents(store), "no cell was published"
    kdbench("run", "--suite", "./tiny.yaml", "--methods", METHODS, "--jobs", 1, cwd=tmp_path)
    assert contents(store) == contents(finished / ".kdbench/store")


def test_truncated_record_is_not_finished_and_is_made_again(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    root = tmp_path / "copy" / ".kdbench/store"
    record = next(path for path in sorted(root.glob("cells/*/*/record.json")) if b'"ood"' in path.read_bytes())
    record.write_bytes(record.read_bytes()[:-20])
    assert Store(root).record(record.parent.name) is None
    output = kdbench("run", "--suite", "./tiny.yaml", "--methods", METHODS, "--jobs", 1, cwd=tmp_path / "copy").stdout
    assert "1 cells finished" in output
    assert contents(root) == contents(finished / ".kdbench/store")


def test_finished_suite_is_not_computed_again(finished: Path) -> None:
    output = kdbench("run", "--suite", "./tiny.yaml", "--methods", METHODS, cwd=finished).stdout
    assert output.startswith("0 cells finished")


def test_failed_cell_is_recorded_and_the_rest_goes_on(tmp_path: Path) -> None:
    write_suite(tmp_path / "tiny.yaml")
    (tmp_path / "raises.py").write_text(RAISES, encoding="utf-8")
    options = ("--suite", "./tiny.yaml", "--methods", "raises,kd", "--plugin", "raises.py", "--jobs", 1)
    output = kdbench("run", *options, cwd=tmp_path, check=1).stdout
    assert "failed: raises" in output
    assert "this objective is broken" in output
    store = Store(tmp_path / ".kdbench/store")
    (failure,) = [store.failure(path.stem) for path in (store.root / "failed").glob("*.json")]
    assert failure is not None
    assert failure.error == "ZeroDivisionError"
    assert "in hard" in failure.traceback
    report = kdbench("report", "--suite", "tiny", cwd=tmp_path).stdout
    assert "failed (0/1)" in report
    table = (tmp_path / "leaderboards/tiny/leaderboard.csv").read_text(encoding="utf-8").splitlines()
    kd = next(line for line in table if ",kd," in line).split(",")
    assert kd[2], "kd, which has nothing to do with it, is complete"


def test_fail_fast_stops_at_the_first_failure(tmp_path: Path) -> None:
    write_suite(tmp_path / "tiny.yaml")
    (tmp_path / "raises.py").write_text(RAISES.replace('"raises"', '"a-raises"'), encoding="utf-8")
    options = ("--suite", "./tiny.yaml", "--methods", "a-raises", "--plugin", "raises.py", "--jobs", 1)
    output = kdbench("run", *options, "--fail-fast", cwd=tmp_path, check=1).stdout
    records = list((tmp_path / ".kdbench/store/cells").glob("*/*/record.json"))
    planned = int(output.split("[0/")[1].split("]")[0])
    assert len(records) < planned - 8, "most cells were not started"
