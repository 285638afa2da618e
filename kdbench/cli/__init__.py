"""The command line. Commands live in modules of their own and are imported when they are used."""

from __future__ import annotations

import importlib
import sys

import click

from kdbench import __version__
from kdbench.errors import KDBenchError

_COMMANDS = {
    "run": "Train, evaluate and attack what a suite asks for; resumes where it stopped.",
    "attack": "Attack a saved model, one of kdbench's own or any other of its kind.",
    "report": "Turn finished cells into leaderboards: HTML, tables and figures.",
    "leaderboard": "Export, verify and merge results: what others send, and what is sent to them.",
    "plan": "Show what would run, what is done, and what it costs.",
    "list": "List methods, pairs, tasks, attacks or suites.",
    "describe": "Show one method, pair, task, attack or suite: settings, source, cost.",
    "check": "Test whether a method keeps the contract (a name or a plugin file).",
    "fetch": "Download everything an offline machine needs for a suite.",
    "doctor": "Tell what this machine can run, and why not.",
}


class _LazyGroup(click.Group):
    """Knows every command's help line without importing it, which keeps ``--help`` fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"kdbench.cli.{cmd_name}_command")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS:
            import difflib

            close = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


# \b keeps click from joining the lines of the paragraph that follows.
_HELP = """Benchmark knowledge-distillation methods: in-domain, out-of-domain and under attack.

\b
kdbench run --suite quickstart
kdbench report --suite quickstart
"""


@click.group(
    cls=_LazyGroup, help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="kdbench")
def cli() -> None:
    """The group of all commands."""


def main() -> None:
    """Entry point: errors that are the input's fault become one line and exit code 2."""
    try:
        cli()
    except KDBenchError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
