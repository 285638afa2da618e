"""What commands import: the light ones must answer before anybody has finished importing torch."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest

from kdbench.cli import _COMMANDS
from tests.cli.conftest import Cli
from tests.conftest import write_suite

HEAVY = ("torch", "transformers", "textattack", "datasets", "accelerate")
PROBE = """
import sys
from kdbench.cli import main

suspects = sys.argv.pop(1).split(",")
lines = [line.split() for line in sys.argv.pop(1).split(";")]
for line in lines:
    sys.argv[1:] = line
    try:
        main()
    except SystemExit as end:
        assert not end.code, (line, end.code)
    loaded = [name for name in suspects if name in sys.modules]
    assert not loaded, (line, loaded)
"""


def _loads_none_of(modules: tuple[str, ...], lines: list[str], cwd: Path) -> None:
    command = [sys.executable, "-c", PROBE, ",".join(modules), ";".join(lines)]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_help_imports_almost_nothing(tmp_path: Path) -> None:
    """Neither the group's help nor any command's."""
    lines = ["--help", "--version", *(f"{name} --help" for name in _COMMANDS)]
    _loads_none_of((*HEAVY, "pandas", "numpy", "pydantic", "rich", "yaml"), lines, tmp_path)


def test_looking_around_does_not_import_torch(tmp_path: Path) -> None:
    """Listing, describing and planning, also for machines."""
    write_suite(tmp_path / "tiny.yaml", attack="attack: {attacks: [deepwordbug, pwws]}")
    lines = [f"list {kind}" for kind in ("methods", "pairs", "tasks", "attacks", "suites")]
    lines += ["describe method prokd+mate", "describe attack textfooler", "describe suite glue-robust"]
    lines += ["plan --suite ./tiny.yaml --methods kd,prokd+mate", "plan --suite ./tiny.yaml --json"]
    lines += ["run --suite ./tiny.yaml --dry-run", "fetch --suite ./tiny.yaml --to kit"]
    _loads_none_of(HEAVY, lines, tmp_path)


def test_help_shows_how_to_begin(cli: Cli) -> None:
    """The two example commands stand on lines of their own, and every command is listed."""
    lines = [line.strip() for line in cli("--help").out.splitlines()]
    assert "kdbench run --suite quickstart" in lines and "kdbench report --suite quickstart" in lines
    listed = lines[lines.index("Commands:") + 1 :]
    assert [name for name in _COMMANDS if any(line.startswith(f"{name} ") for line in listed)] == list(_COMMANDS)


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_option_says_what_it_is_for(cli: Cli, name: str) -> None:
    """In the help of its command."""
    found = importlib.import_module(f"kdbench.cli.{name}_command").command
    commands = found.commands if isinstance(found, click.Group) else {"": found}
    for member, command in commands.items():
        options = [option for option in command.params if isinstance(option, click.Option)]
        assert options and all(option.help for option in options)
        shown = cli(name, *filter(None, [member]), "--help").out
        assert all(option.opts[0] in shown for option in options)
