"""The local engine: worker processes on this machine, one cell each at a time."""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from kdbench.engines.base import Event, Outcome
from kdbench.errors import KDBenchError
from kdbench.locations import Locations
from kdbench.plan import Cell, Plan
from kdbench.store import Store

BUSY_SECONDS = 2.0
# Large buffers straight from the system, in huge pages: batches of ever-changing shape fragment the
# heap otherwise, and a worker that needs 1 GB grows to 2 or more.
HEAP = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4194304"
_ORDER = {"teacher": 0, "student": 1, "evaluation": 2}


class LocalEngine:
    """``jobs`` worker processes; each is given one of the machine's GPUs, in turn, where there are any."""

    def __init__(
        self,
        locations: Locations,
        *,
        jobs: int,
        device: str = "auto",
        gpus: tuple[str, ...] = (),
        trackers: tuple[str, ...] = (),
    ) -> None:
        self.locations = locations
        self.jobs = jobs
        self.device = device
        self.gpus = gpus
        self.trackers = trackers

    def run(self, plan: Plan, store: Store, on_event: Callable[[Event], None], *, fail_fast: bool) -> Outcome:
        """Finish the plan's cells, upstream first; failed cells block only what is built on them.

        A cell that another process is working on is waited for.
        """
        outcome = Outcome(reused=[key for key in plan.cells if store.record(key)])
        schedule = _Schedule(plan, set(outcome.reused))
        if not schedule.open:
            return outcome
        for key in schedule.open:
            store.put_spec(key, plan.cells[key].spec, plan.paths)
        events: SimpleQueue[tuple[int, dict[str, Any]]] = SimpleQueue()
        workers: dict[int, _Worker] = {}
        try:
            self._serve(schedule, workers, events, store, outcome, on_event, fail_fast)
        except KeyboardInterrupt:
            outcome.interrupted = True
        finally:
            for worker in workers.values():
                worker.stop()
        return outcome

    def _serve(
        self,
        schedule: _Schedule,
        workers: dict[int, _Worker],
        events: SimpleQueue[tuple[int, dict[str, Any]]],
        store: Store,
        outcome: Outcome,
        on_event: Callable[[Event], None],
        fail_fast: bool,
    ) -> None:
        while schedule.open and not (fail_fast and outcome.failed):
            idle = [number for number in range(self.jobs) if number not in workers or workers[number].key is None]
            for number in idle:
                key = schedule.next()
                if key is None:
                    break
                if number not in workers:
                    workers[number] = self._start(number, store.root, events)
                workers[number].give(key)
                on_event(Event("started", key, {"worker": number}))
            try:
                number, message = events.get(timeout=BUSY_SECONDS)
            except Empty:
                schedule.release()
                continue
            key = workers[number].key
            if message["event"] == "progress":
                on_event(Event("progress", message["key"], message))
            elif message["event"] == "ready" or key is None:
                continue
            elif message["event"] == "busy":
                workers[number].key = None
                schedule.postpone(key)
            elif message["event"] == "finished":
                workers[number].key = None
                schedule.finish(key)
                outcome.finished.append(key)
                on_event(Event("finished", key))
            else:
                if message["event"] == "died":
                    failure = store.fail(key, KDBenchError(message["message"]))
                    message = {"error": failure.error, "message": failure.message}
                    del workers[number]
                else:
                    workers[number].key = None
                outcome.failed.append(key)
                on_event(Event("failed", key, message))
                for blocked in schedule.fail(key):
                    outcome.blocked.append(blocked)
                    on_event(Event("blocked", blocked, {"by": key}))

    def _start(self, number: int, root: Path, events: SimpleQueue[tuple[int, dict[str, Any]]]) -> _Worker:
        command = [sys.executable, "-m", "kdbench.engines.worker", "--store", str(root), "--device", self.device]
        for tracker in self.trackers:
            command += ["--tracker", tracker]
        environment = {**os.environ, **self.locations.environment(), "TOKENIZERS_PARALLELISM": "false"}
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        environment.setdefault("GLIBC_TUNABLES", HEAP)
        if self.locations.offline:
            environment |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[number % len(self.gpus)]
        return _Worker(number, command, environment, events)


class _Worker:
    """A worker process and the thread that reads its events."""

    def __init__(self, number: int, command: list[str], environment: dict[str, str], events: SimpleQueue[Any]) -> None:
        self.number = number
        self.key: str | None = None
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, start_new_session=True
        )
        threading.Thread(target=self._listen, args=(events,), daemon=True).start()

    def give(self, key: str) -> None:
        """Have a cell run; a worker that died meanwhile says so through its events."""
        self.key = key
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{key}\n")
            self.process.stdin.flush()

    def stop(self) -> None:
        """Close the worker's input, which ends it, and wait."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _listen(self, events: SimpleQueue[Any]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            events.put((self.number, json.loads(line)))
        code = self.process.wait()
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        hint = " (out of memory? try fewer --jobs)" if code == -9 else ""
        events.put((self.number, {"event": "died", "message": f"the worker process ended with {reason}{hint}"}))


class _Schedule:
    """Which cell is next: what others wait for first, then the longest."""

    def __init__(self, plan: Plan, done: set[str]) -> None:
        self.cells = plan.cells
        self.done = done
        self.open = {key: None for key in plan.cells if key not in done}
        self.waiting = {key: {up for up in plan.cells[key].upstream if up not in done} for key in self.open}
        self.ready: list[tuple[float, int, str]] = []
        self.postponed: list[str] = []
        self.order = {key: number for number, key in enumerate(plan.cells)}
        for key in self.open:
            if not self.waiting[key]:
                self._push(key)

    def _push(self, key: str) -> None:
        cell: Cell = self.cells[key]
        heapq.heappush(self.ready, (_ORDER[cell.kind] * 1e6 - cell.weight, self.order[key], key))

    def next(self) -> str | None:
        return heapq.heappop(self.ready)[2] if self.ready else None

    def postpone(self, key: str) -> None:
        self.postponed.append(key)

    def release(self) -> None:
        """Try again what another process was working on."""
        for key in self.postponed:
            self._push(key)
        self.postponed = []

    def finish(self, key: str) -> None:
        self.open.pop(key)
        self.done.add(key)
        for other in self.open:
            if key in self.waiting[other]:
                self.waiting[other].remove(key)
                if not self.waiting[other]:
                    self._push(other)

    def fail(self, key: str) -> list[str]:
        """Give up a cell and everything built on it; returns the latter."""
        self.open.pop(key)
        lost, found = {key}, True
        while found:
            found = False
            for other in list(self.open):
                if lost & set(self.cells[other].upstream):
                    self.open.pop(other)
                    lost.add(other)
                    found = True
        return [other for other in self.cells if other in lost - {key}]
