"""Prints the ratios that the project promises. Run it on an idle machine; it takes some minutes.

(a) throughput of the trainer / bare PyTorch loop over the same batches, texts
(b) kd with cached teacher logits / kd with the teacher run at every step, 6 -> 3 layers
(c) length buckets with dynamic padding / padding to 128, on short sentences
(d) seconds of a finished suite's rerun
(e) throughput of the trainer / bare PyTorch loop over the same augmented batches, images
(f) peak memory of workers that train on images
(g) windows of 10,000 questions: transformers' overflow call / ours, ours / loading them from the cache
(h) seconds that decoding 10,000 windows takes, and the prediction itself relative to it
(i) seconds of 10,000 bootstrap replicates of 10 methods, 5 seeds and 10,000 examples, and their peak memory
(j) stock TextAttack, and a loop that pads dynamically / attacks on texts in lockstep; a first / a second victim
(k) torchattacks' members one after another on all images / the worst-case ensemble of the same members
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch

from tests.benchmarks import comparisons, image_attacks, images, questions, text_attacks, texts
from tests.benchmarks.measure import Effort


def rerun_seconds(store: Path) -> float:
    """Wall seconds of ``kdbench run`` on a finished quickstart."""
    command = [sys.executable, "-m", "kdbench", "run", "--suite", "quickstart", "--store", str(store)]
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("0 cells finished"), "the suite is not finished: run it first"
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--store", type=Path, default=Path(".kdbench/store"), help="a finished quickstart, for (d)")
    options.add_argument("--steps", type=int, default=40, help="updates in each measurement")
    options.add_argument("--rounds", type=int, default=5, help="pairs of measurements, after one of warm-up")
    options.add_argument("--snippets", type=int, default=100, help="examples attacked in (j), which takes an hour")
    options.add_argument("--only", default="abcdefghijk", help="letters of what to measure: abc go together [all]")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    effort = Effort(chosen.steps, chosen.rounds)
    if set("abc") & set(chosen.only):
        texts.measure(effort)
    if "d" in chosen.only and (chosen.store / "cells").is_dir():
        print(f"(d) rerun of a finished suite: {rerun_seconds(chosen.store):.1f} s (promised < 10 s)")
    if "e" in chosen.only:
        images.measure(effort)
    if "f" in chosen.only:
        images.measure_memory()
    if "g" in chosen.only:
        questions.measure_windows(chosen.rounds)
    if "h" in chosen.only:
        questions.measure_decoding(chosen.rounds)
    if "i" in chosen.only:
        comparisons.measure(chosen.rounds)
    if "j" in chosen.only:
        text_attacks.measure(min(chosen.rounds, 2), chosen.snippets)
    if "k" in chosen.only:
        image_attacks.measure()


if __name__ == "__main__":
    main()
