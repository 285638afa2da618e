"""Comparing many methods over many seeds and examples."""

from __future__ import annotations

import statistics
import time
import tracemalloc

import numpy as np

from kdbench.stats.crossed import Part, crossed_scores

MODELS, SEEDS, EXAMPLES, RESAMPLES = 10, 5, 10_000, 10_000


def measure(rounds: int) -> None:
    """(i) on outcomes that agree in part, as those of students do, so that hardly two examples look alike."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, 1.5, EXAMPLES)
    right = difficulty + rng.normal(0, 1, (MODELS, SEEDS, EXAMPLES)) < 1
    part = Part(right[..., None].astype(float), lambda means: means[..., 0])
    seconds = [_seconds(part) for _ in range(rounds + 1)][1:]
    tracemalloc.start()
    _seconds(part)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    middle = statistics.median(seconds)
    print(f"(i) {RESAMPLES:,} replicates and all pairs: {middle:.1f} s (promised < 60), {peak:.0f} MiB", flush=True)


def _seconds(part: Part) -> float:
    start = time.perf_counter()
    crossed_scores([[part]], resamples=RESAMPLES).pairwise()
    return time.perf_counter() - start
