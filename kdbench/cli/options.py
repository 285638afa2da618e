"""Options that several commands share, and what they turn into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kdbench.errors import KDBenchError

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
DEFAULT_STORE = Path(".kdbench") / "store"


class NameList(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Names separated by commas."""

    name = "A,B,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split; empty names are dropped."""
        if isinstance(value, tuple):
            return value
        return tuple(part.strip() for part in str(value).split(",") if part.strip())


class IntegerList(NameList):
    """Integers separated by commas."""

    name = "1,2,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Split and convert."""
        try:
            return tuple(int(part) for part in super().convert(value, param, ctx))
        except ValueError:
            self.fail(f"'{value}' is not a list of whole numbers", param, ctx)


def _chain(options: list[Callable[[Any], Any]]) -> Callable[[FunctionT], FunctionT]:
    def decorate(function: FunctionT) -> FunctionT:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


suite_option = click.option("--suite", "suite_name", required=True, help="Name of a suite, or path of a YAML file.")
store_option = click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_STORE,
    envvar="KDBENCH_STORE",
    show_default=True,
    help="Directory of finished cells.",
)
plugin_option = click.option(
    "--plugin",
    "plugins",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Python file that registers methods; may be repeated.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
location_options = _chain(
    [
        click.option("--data", type=click.Path(path_type=Path), multiple=True, help="Local mirror of datasets."),
        click.option("--models", type=click.Path(path_type=Path), multiple=True, help="Local mirror of models."),
        click.option("--offline", is_flag=True, help="Never ask the hub; fail early naming what is missing."),
    ]
)
selection_options = _chain(
    [
        click.option("--methods", type=NameList(), default=(), help="Methods, e.g. kd,prokd+mate [suite's]."),
        click.option("--pairs", type=NameList(), default=(), help="Pairs [all of the suite]."),
        click.option("--tasks", type=NameList(), default=(), help="Tasks [all of the suite]."),
        click.option("--seeds", type=IntegerList(), default=(), help="Student seeds [suite's]."),
        click.option("--budget", default="", help="Budget of the suite [suite's default]."),
        click.option(
            "--set", "settings", multiple=True, metavar="METHOD.FIELD=VALUE", help="Change a method's setting."
        ),
    ]
)


def make_locations(data: tuple[Path, ...], models: tuple[Path, ...], offline: bool) -> Any:
    """Locations from the options and the environment; folders given by hand must exist."""
    from kdbench.locations import Locations

    for folder in (*data, *models):
        if not folder.is_dir():
            raise KDBenchError(f"{folder}: no such directory; --data and --models name local mirrors")
    return Locations.from_environment(data, models, offline)


def make_selection(
    methods: tuple[str, ...],
    pairs: tuple[str, ...],
    tasks: tuple[str, ...],
    seeds: tuple[int, ...],
    budget: str,
    settings: tuple[str, ...],
    device: str = "auto",
) -> Any:
    """What of the suite is wanted."""
    from kdbench.plan import Selection

    return Selection(methods, pairs, tasks, seeds, budget, device, parse_settings(settings))


def parse_settings(settings: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """``annealing.max_temperature=10`` as nested mappings; values are read as YAML."""
    import yaml

    parsed: dict[str, dict[str, Any]] = {}
    for setting in settings:
        target, equals, value = setting.partition("=")
        method, dot, name = target.partition(".")
        if not (equals and dot and method and name):
            raise KDBenchError(f"--set {setting}: must look like METHOD.FIELD=VALUE, e.g. kd.temperature=4")
        try:
            parsed.setdefault(method, {})[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise KDBenchError(f"--set {setting}: '{value}' cannot be read as a value") from error
    return parsed


def load_plugins(plugins: tuple[Path, ...]) -> None:
    """Make the methods of plugin files known."""
    from kdbench.methods.registry import METHODS

    for path in plugins:
        METHODS.load_plugin(path)
