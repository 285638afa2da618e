"""``kdbench check``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kdbench.cli.options import json_option, load_plugins, plugin_option


@click.command("check")
@click.argument("method", metavar="METHOD|FILE.py")
@plugin_option
@json_option
def command(method: str, plugins: tuple[Path, ...], as_json: bool) -> None:
    """Train a method on tiny tasks that come with kdbench, and report where it breaks the contract.

    Exit code 0 when it keeps the contract, 1 when it does not.
    """
    load_plugins(plugins)

    import torch

    from kdbench.checks import check_method
    from kdbench.cli.console import console, print_json

    torch.set_num_threads(1)  # as cells do; on models this small several threads only wait for each other
    results = check_method(method)
    if as_json:
        print_json([result.__dict__ for result in results])
    else:
        for result in results:
            mark, style = ("ok", "green") if result.passed else ("BROKEN", "red")
            console.print(f"[{style}]{mark:7}[/{style}]", end="")
            console.print(
                f"{result.method} on {result.task}: {result.check}" + (f": {result.detail}" if result.detail else ""),
                markup=False,
                soft_wrap=True,
            )
    broken = sum(not result.passed for result in results)
    if not as_json:
        console.print("the contract is kept" if not broken else f"{broken} violations")
    sys.exit(1 if broken else 0)
