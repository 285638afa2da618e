"""A worker process: reads keys from standard input, runs their cells, writes events to standard output.

One JSON object a line in both directions. When standard input closes, which is also what happens
when the parent is killed, the worker ends at once; its cell goes on from its last checkpoint later.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any

REPORT_SECONDS = 0.25


def main() -> None:
    """Serve until standard input closes."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--store", type=Path, required=True)
    arguments.add_argument("--device", default="auto")
    arguments.add_argument("--tracker", action="append", default=[])
    options = arguments.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; it closes our input
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever libraries print must not end up between the events

    def send(event: dict[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")

    keys: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=(keys,), daemon=True).start()

    from kdbench.cells.run import run_cell
    from kdbench.locations import Locations
    from kdbench.store import Store

    store, locations = Store(options.store), Locations.from_environment()
    send({"event": "ready"})
    while True:
        key = keys.get()
        reporter = _Reporter(key, send)
        try:
            computed = run_cell(
                store, key, locations, device=options.device, trackers=tuple(options.tracker), report=reporter
            )
        except Exception as error:  # every failure of a cell is recorded, the worker lives on
            failure = store.fail(key, error)
            send({"event": "failed", "key": key, "error": failure.error, "message": failure.message})
        else:
            send({"event": "finished" if computed or store.record(key) else "busy", "key": key})


class _Reporter:
    """Sends progress a few times a second at most."""

    def __init__(self, key: str, send: Any) -> None:
        self.key = key
        self.send = send
        self.last = 0.0

    def __call__(self, data: dict[str, Any]) -> None:
        now = time.monotonic()
        if now - self.last >= REPORT_SECONDS:
            self.last = now
            self.send({"event": "progress", "key": self.key, **data})


def _listen(keys: SimpleQueue[str]) -> None:
    for line in sys.stdin:
        keys.put(line.strip())
    os._exit(0)


if __name__ == "__main__":
    main()
