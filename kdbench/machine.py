"""What this machine has, found out without importing torch."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path


def visible_gpus() -> tuple[str, ...]:
    """Identifiers of the NVIDIA GPUs a process may use, as ``CUDA_VISIBLE_DEVICES`` wants them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(part for part in chosen.split(",") if part and part != "-1")
    if not shutil.which("nvidia-smi"):
        return ()
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return tuple(result.stdout.split()) if result.returncode == 0 else ()


def release_memory() -> None:
    """Give freed memory back to the system, where the C library can.

    Batches of ever-changing shape fragment glibc's heap: without this a worker's memory grows by
    megabytes an update although nothing is leaked.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def supports_bf16(device: str = "auto") -> bool:
    """Whether bf16 arithmetic is native here: on the first GPU if one is used, else on the CPU."""
    if device != "cpu" and visible_gpus():
        command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        return result.returncode == 0 and all(float(line) >= 8.0 for line in result.stdout.split())
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def cpu_count() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_jobs(gpus: tuple[str, ...]) -> int:
    """One worker for each GPU; without one, a worker for each core, eight at most (memory)."""
    return len(gpus) or min(8, cpu_count())
