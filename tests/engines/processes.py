"""Runs in the background, and looking at them while they work."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import command


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """The command line in a folder, in the background."""
    return subprocess.Popen(
        command(*arguments), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something is the case."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def workers_of(parent: int) -> list[int]:
    """Process ids of the workers of a run."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    return [int(pid) for pid, ppid, args in rows if int(ppid) == parent and "engines.worker" in args]


def checkpointed_student(store: Path) -> bool:
    """Whether a student is in the middle of its training."""
    for checkpoint in store.glob("work/*/checkpoint/*[0-9]/state.json"):
        key = checkpoint.parts[-4]
        spec = json.loads((store / "specs" / f"{key}.json").read_text(encoding="utf-8"))["spec"]
        if spec["kind"] == "student" and json.loads(checkpoint.read_text(encoding="utf-8"))["step"]:
            return True
    return False


def gone(pids: list[int]) -> bool:
    """Whether all these processes have ended."""
    return not any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids)
