"""What this machine can run, and why not."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from kdbench.attacks.assets import missing_assets
from kdbench.attacks.spec import ATTACKS
from kdbench.errors import KDBenchError
from kdbench.hub import hub_answers
from kdbench.locations import Locations
from kdbench.machine import cpu_count, default_jobs, visible_gpus
from kdbench.models.locate import locate_model
from kdbench.models.spec import PAIRS
from kdbench.plan import Selection, make_plan
from kdbench.suite import load_suite, suite_names

_LIBRARIES = ("torch", "transformers", "datasets", "accelerate", "textattack", "torchattacks", "pandas", "pydantic")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Literal["ok", "note", "error"]
    subject: str
    text: str


def examine(locations: Locations, store: Path) -> list[Finding]:
    """Look at everything a run may need; loads torch, trains nothing."""
    hub = not locations.offline and hub_answers()
    locations = Locations(locations.data, locations.models, locations.cache, locations.offline, hub)
    return [
        *_software(),
        *_devices(),
        *_places(locations, store),
        Finding("ok" if hub else "note", "hub", "answers" if hub else "does not answer: mirrors and packages only"),
        *_pairs(locations),
        *_attacks(locations),
        *_suites(locations),
    ]


def _software() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("ok" if sys.version_info >= (3, 11) else "error", "python", f"{version} at {sys.executable}")
    for name in _LIBRARIES:
        try:
            yield Finding("ok", name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding("error", name, "is not installed: pip install kdbench installs it")


def _devices() -> Iterator[Finding]:
    try:
        torch = importlib.import_module("torch")
    except Exception as error:  # a broken installation can raise anything
        yield Finding("error", "torch", f"cannot be imported: {error}")
        return
    gpus = visible_gpus()
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            bf16 = "bf16" if torch.cuda.get_device_capability(index) >= (8, 0) else "no bf16: slow under such a budget"
            yield Finding("ok", f"cuda:{index}", f"{torch.cuda.get_device_name(index)}, {bf16}")
    elif gpus:
        text = f"{len(gpus)} GPUs are visible, but this torch cannot use them: install its CUDA build"
        yield Finding("note", "cuda", text)
    else:
        yield Finding("note", "cuda", "no GPU: small pairs and quick budgets only")
    text = f"{cpu_count()} cores; run uses {default_jobs(gpus)} workers unless --jobs says otherwise"
    yield Finding("ok", "cpu", text)


def _places(locations: Locations, store: Path) -> Iterator[Finding]:
    for name, folder in (("store", store), ("cache", locations.cache)):
        existing = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
        free = shutil.disk_usage(existing).free / 2**30
        level: Literal["ok", "note", "error"] = "ok" if free > 5 else "note"
        if not os.access(existing, os.W_OK):
            yield Finding("error", name, f"{folder} cannot be written")
        else:
            yield Finding(level, name, f"{folder}, {free:.0f} GiB free")
    for kind, folders in (("data", locations.data), ("models", locations.models)):
        for folder in folders:
            found = folder.is_dir()
            yield Finding("ok" if found else "error", f"{kind} mirror", str(folder) if found else f"{folder}: missing")


def _pairs(locations: Locations) -> Iterator[Finding]:
    for name in PAIRS.names():
        missing = {m for model in PAIRS.get(name).models() if (m := locate_model(model.source, locations).missing)}
        yield Finding("note" if missing else "ok", f"pair {name}", "; ".join(sorted(missing)) or "weights are here")


def _attacks(locations: Locations) -> Iterator[Finding]:
    for name in ATTACKS.names():
        lacking = missing_assets(ATTACKS.get(name), locations.assets())
        yield Finding("note" if lacking else "ok", f"attack {name}", "; ".join(lacking) or "can run")


def _suites(locations: Locations) -> Iterator[Finding]:
    for name in suite_names():
        suite = load_suite(name)
        fitting = [
            (task.name, pair.name)
            for task in suite.tasks.values()
            for pair in suite.pairs.values()
            if pair.kind == task.modality
        ]
        runnable = 0
        for task, pair in fitting:
            with contextlib.suppress(KDBenchError):
                make_plan(suite, Selection(tasks=(task,), pairs=(pair,)), locations)
                runnable += 1
        shown = f"{runnable} of {len(fitting)} task × pair combinations can run here"
        yield Finding("ok" if runnable == len(fitting) else "note", f"suite {name}", shown)
