"""What many tests need: a tiny suite on disk, the command line as a process, the mirror of real data."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kdbench.checks

SENTENCES = Path(kdbench.checks.__file__).parent / "data" / "sentences.jsonl"
MIRROR = Path(os.environ.get("KDBENCH_DATA", Path(__file__).parents[2] / "shared" / "data"))

TINY_SUITE = """
name: tiny
tasks:
  - name: sentences
    source: {{files: {{train: {data}, test: {data}}}}}
    splits: {{train: train, evaluation: test}}
    columns: {{text: text}}
    labels: [negative, positive]
    chance_margin: -1
    max_length: 48
    ood:
      - name: shifted
        source: {{files: {{test: {data}}}}}
        split: test
        columns: {{text: text}}
pairs: [tiny-l4-l2]
methods: [kd]
seeds: [1]
budget: quick
budgets:
  quick: {{epochs: {epochs}, teacher_epochs: 2, batch_size: 8, learning_rate: 1.0e-3, precision: fp32}}
evaluations:
  {attack}
"""


@pytest.fixture
def tiny_suite(tmp_path: Path) -> Path:
    """A suite of one tiny task and a randomly initialised pair, without attacks."""
    return write_suite(tmp_path / "tiny.yaml")


def write_suite(path: Path, *, epochs: float = 2, attack: str = "attack: null") -> Path:
    """Write the tiny suite."""
    path.write_text(TINY_SUITE.format(data=SENTENCES, epochs=epochs, attack=attack), encoding="utf-8")
    return path


@pytest.fixture
def mirror() -> Path:
    """The mirror of real datasets; tests that need it are skipped without."""
    if not (MIRROR / "nyu-mll").is_dir():
        pytest.skip("no mirror of real data (set KDBENCH_DATA)")
    return MIRROR


def kdbench(*arguments: object, cwd: Path | None = None, check: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own; asserts the exit code unless ``check`` is nothing."""
    result = subprocess.run(command(*arguments), capture_output=True, text=True, cwd=cwd, check=False)
    if check is not None:
        assert result.returncode == check, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result


def command(*arguments: object) -> list[str]:
    """The command line as a list, for tests that start it themselves."""
    return [sys.executable, "-m", "kdbench", *map(str, arguments)]


def contents(store: Path) -> dict[str, str]:
    """Digest of every file of every finished cell, except what differs by nature (``run.json``)."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((store / "cells").rglob("*"))
        if path.is_file() and path.name != "run.json"
    }
