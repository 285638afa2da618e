"""Running one cell: all it needs is a store and a key."""

from __future__ import annotations

import datetime
import importlib
import platform
import resource
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

from kdbench.cells.job import CellResult, Job
from kdbench.errors import KDBenchError, StoreError
from kdbench.locations import Locations
from kdbench.machine import cpu_count, release_memory
from kdbench.planning import upstream_keys
from kdbench.record import Record, RunInfo
from kdbench.store import Store

_VERSIONS = ("kdbench", "torch", "transformers", "datasets", "accelerate", "textattack", "numpy")


def run_cell(
    store: Store,
    key: str,
    locations: Locations,
    *,
    device: str = "auto",
    trackers: tuple[str, ...] = (),
    report: Callable[[dict[str, Any]], None] = lambda _: None,
) -> bool:
    """Compute a cell and publish it.

    Returns:
        Whether it was computed: ``False`` when it was finished, or another process works on it.

    Raises:
        KDBenchError: the input's fault.
        Exception: anything that goes wrong while computing; nothing is published then.
    """
    import torch

    spec, paths = store.spec(key)
    if store.record(key):
        return False
    with store.claim(key) as free:
        if not free:
            return False
        if store.record(key):
            return False
        for upstream in upstream_keys(spec):
            if store.record(upstream) is None:
                raise StoreError(f"cell {key[:12]}: upstream cell {upstream[:12]} is not finished")
        torch.set_num_threads(spec.get("budget", spec).get("threads", 1))
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32 in every evaluation
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        clock = time.perf_counter()
        job = Job(
            key=key,
            spec=spec,
            paths=paths,
            store=store,
            locations=locations,
            out=store.output(key),
            work=store.work(key),
            device=device,
            trackers=trackers,
            report=report,
        )
        result = _function(spec)(job)
        record = Record(
            key=key,
            kind=spec["kind"],
            spec=spec,
            metrics=result.metrics,
            details=result.details,
            cost=result.cost,
            flags=result.flags,
        )
        store.publish(record, _info(started, time.perf_counter() - clock, device, result.measured))
    release_memory()
    return True


def _function(spec: dict[str, Any]) -> Callable[[Job], CellResult]:
    """The code of a cell: a module for each kind, and for each evaluation."""
    kind = spec["kind"]
    name = f"kdbench.evaluations.{spec['evaluation']}" if kind == "evaluation" else f"kdbench.cells.{kind}"
    try:
        function: Callable[[Job], CellResult] = importlib.import_module(name).run
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise KDBenchError(f"this kdbench knows no cell of kind {name.rsplit('.', 1)[1]}") from error
    return function


def _info(started: str, seconds: float, device: str, measured: dict[str, Any]) -> RunInfo:
    import torch

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    used = "cpu" if device == "cpu" or not torch.cuda.is_available() else torch.cuda.get_device_name()
    return RunInfo(
        wall_seconds=round(seconds, 3),
        peak_memory_mb=round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1),
        started=started,
        host=f"{platform.system()} {platform.machine()}, {cpu_count()} cores",
        device=used,
        versions={"python": platform.python_version(), **{name: metadata.version(name) for name in _VERSIONS}},
        measured=measured,
    )
