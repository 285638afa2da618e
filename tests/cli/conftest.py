"""The command line as a function: in this process, in an empty folder, with nothing in the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kdbench.cli import main


@dataclass(frozen=True)
class Result:
    """What a command said."""

    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run one command line; anything but a clean exit is an error of the test.

    For commands that train nothing and load no plugin: those get a process of their own.
    """
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("KDBENCH_")]:
        monkeypatch.delenv(name)

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["kdbench", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return Result(int(caught.value.code or 0), out, err)

    return run
