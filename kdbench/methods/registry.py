"""The registry of methods: built-in files, entry points of installed packages, plugin files.

Built-in methods are found by file name (``label_smoothing.py`` is ``label-smoothing``) and imported
when asked for, so adding one is adding a file. A plugin that cannot be loaded never hides the rest.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from kdbench.errors import MethodError, UnknownNameError
from kdbench.hashing import file_digest
from kdbench.methods.base import Composed, Method
from kdbench.methods.kinds import KINDS, Kind

ENTRY_POINTS = "kdbench.methods"
MethodT = TypeVar("MethodT", bound=type[Method])
_BUILTIN = Path(__file__).parent / "builtin"


class MethodRegistry:
    """Names to method classes."""

    def __init__(self) -> None:
        self._classes: dict[str, type[Method]] = {}
        self._sources: dict[str, str] = {}
        self._loading = "this process"
        self.broken: dict[str, str] = {}

    def add(self, name: str, cls: type[Method]) -> None:
        """Register a class; the same class twice is harmless.

        Raises:
            MethodError: when the name belongs to another class.
        """
        if any(sign in name for sign in "+, /"):
            raise MethodError(f"method name '{name}' may not contain '+', ',', '/' or spaces")
        if name == "teacher":
            raise MethodError("method name 'teacher' is the teacher's own in every table: choose another name")
        strange = [kind for kind in cls.kinds if kind not in KINDS]
        if strange or not cls.kinds:
            raise MethodError(f"method {name}: kinds {list(cls.kinds)} must be some of {', '.join(KINDS)}")
        known = self._classes.get(name)
        reloaded = known is not None and (known.__module__, known.__qualname__) == (cls.__module__, cls.__qualname__)
        taken = known is not None and not reloaded
        if taken or (name in self._builtin_names() and not cls.__module__.startswith("kdbench.methods.builtin.")):
            owner = self._sources.get(name, "kdbench")
            raise MethodError(f"method name '{name}' is taken by {owner}: give yours another name")
        builtin = cls.__module__.startswith("kdbench.methods.builtin.")  # also when a plugin imports one
        self._classes[name] = cls
        self._sources[name] = "kdbench" if builtin else self._loading

    def names(self) -> list[str]:
        """All known names: built-in first, then third parties'; entry points are not imported."""
        others = {*self._classes, *self._entry_points()} - set(self._builtin_names())
        return [*self._builtin_names(), *sorted(others)]

    def get(self, name: str) -> type[Method]:
        """The class of a single (not composed) method.

        Raises:
            UnknownNameError: with suggestions.
            MethodError: when its plugin cannot be loaded.
        """
        if name not in self._classes:
            if name in self._builtin_names():
                self._import(name, f"kdbench.methods.builtin.{name.replace('-', '_')}", "kdbench")
            elif name in self._entry_points():
                self._load_entry_point(name)
            else:
                raise UnknownNameError("method", name, self.names())
        return self._classes[name]

    def source(self, name: str) -> str:
        """Who provides a method: ``kdbench``, a distribution with its version, or a plugin's digest."""
        self.get(name)
        return self._sources[name]

    def build(
        self, expression: str, settings: Mapping[str, Mapping[str, Any]] | None = None, kind: str = KINDS[0]
    ) -> Method:
        """A method from ``annealing`` or ``prokd+mate`` for a kind of task, with settings by part name.

        Raises:
            UnknownNameError, MethodError: as :meth:`get` and the method's own checks say.
        """
        names = [name.strip() for name in expression.split("+")]
        built = [self.get(name)((settings or {}).get(name), kind) for name in names]
        return built[0] if len(built) == 1 else Composed(built[0], tuple(built[1:]))

    def load_plugin(self, path: Path) -> list[str]:
        """Execute a plugin file and return the names it registered.

        Raises:
            MethodError: when it cannot be executed or registers nothing.
        """
        if not path.is_file():
            raise MethodError(f"plugin {path}: no such file")
        identity = f"plugin:{file_digest(path)}"
        if identity in self._sources.values():
            return [name for name, source in self._sources.items() if source == identity]
        module_name = f"kdbench_plugin_{identity[7:19]}"
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise MethodError(f"plugin {path}: is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        before, self._loading = set(self._classes), identity
        try:
            spec.loader.exec_module(module)
        except MethodError as error:
            raise MethodError(f"plugin {path}: {error}") from error
        except (Exception, SystemExit) as error:
            raise MethodError(f"plugin {path}: {type(error).__name__}: {error}") from error
        finally:
            self._loading = "this process"
        names = sorted(name for name in set(self._classes) - before if self._sources[name] == identity)
        if not names:
            raise MethodError(f"plugin {path}: registers no method; decorate a Method with @register_method(name)")
        return names

    def check_entry_points(self) -> dict[str, str]:
        """Try every entry point; returns name -> error of those that are broken."""
        for name in self._entry_points():
            if name in self._builtin_names():
                self.broken[name] = f"the name '{name}' belongs to kdbench: the package must choose another"
                continue
            try:
                self.get(name)
            except MethodError as error:
                self.broken[name] = str(error)
        return self.broken

    def _load_entry_point(self, name: str) -> None:
        point = self._entry_points()[name]
        origin = f"{point.dist.name}=={point.dist.version}" if point.dist else point.value
        self._loading = origin
        try:
            cls = point.load()
        except (Exception, SystemExit) as error:
            raise MethodError(f"method '{name}' of {origin} is broken: {type(error).__name__}: {error}") from error
        finally:
            self._loading = "this process"
        if not (isinstance(cls, type) and issubclass(cls, Method)):
            raise MethodError(f"method '{name}' of {origin} is broken: {point.value} is not a Method")
        if cls.name != name:
            raise MethodError(f"method '{name}' of {origin} is broken: its class is registered as '{cls.name}'")
        self._sources[name] = origin
        self._classes[name] = cls

    def _import(self, name: str, module: str, source: str) -> None:
        self._loading = source
        try:
            importlib.import_module(module)
        finally:
            self._loading = "this process"
        if name not in self._classes:
            raise MethodError(f"{module} does not register '{name}'")

    @staticmethod
    def _builtin_names() -> list[str]:
        return sorted(p.stem.replace("_", "-") for p in _BUILTIN.glob("*.py") if not p.stem.startswith("_"))

    @staticmethod
    def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
        return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}


METHODS = MethodRegistry()


def supported_kinds(expression: str) -> list[Kind]:
    """Kinds of task that every part of ``annealing`` or ``prokd+mate`` is defined for, in the order of ``KINDS``."""
    classes = [METHODS.get(name.strip()) for name in expression.split("+")]
    return [kind for kind in KINDS if all(kind in cls.kinds for cls in classes)]


def reason_against(expression: str, kind: str) -> str:
    """Why a part of ``annealing`` or ``prokd+mate`` is not defined for a kind of task, as far as one tells."""
    names = [name.strip() for name in expression.split("+")]
    reasons = [METHODS.get(name).reasons.get(kind) for name in names if name in METHODS.names()]
    return "; ".join(reason for reason in reasons if reason)


def register_method(name: str, *, cite: str = "") -> Callable[[MethodT], MethodT]:
    """Class decorator that names a method and makes it known to this process.

    Raises:
        MethodError: when another class has the name already.
    """

    def decorate(cls: MethodT) -> MethodT:
        cls.name = name
        cls.cite = cite
        METHODS.add(name, cls)
        return cls

    return decorate
