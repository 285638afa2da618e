"""Plugin files that do not work: one line, exit code 2, whichever command they are given to."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdbench.hashing import file_digest
from kdbench.store import Store
from tests.conftest import kdbench, write_suite

REGISTERS = """
from kdbench.methods import Method, register_method

@register_method("{name}")
class Mine(Method):
    '''Does nothing.'''
"""


@pytest.mark.parametrize(
    ("command", "content", "expected"),
    [
        ("list methods", "def f(:\n", "SyntaxError: invalid syntax (plugin.py, line 1)"),
        ("describe method kd", "1 / 0\n", "ZeroDivisionError: division by zero"),
        ("plan --suite ./tiny.yaml", "import nothing_of_that_name\n", "ModuleNotFoundError: No module named 'nothing_"),
        ("run --suite ./tiny.yaml", "x = 1\n", "registers no method; decorate a Method with @register_method(name)"),
        ("list methods", REGISTERS.format(name="kd"), "method name 'kd' is taken by kdbench: give yours another name"),
        ("list methods", REGISTERS.format(name="a+b"), "method name 'a+b' may not contain '+', ',', '/' or spaces"),
        ("check kd", None, "no such file"),
    ],
)
def test_broken_plugin(tmp_path: Path, command: str, content: str | None, expected: str) -> None:
    """The message names the file and what is wrong with it."""
    write_suite(tmp_path / "tiny.yaml")
    if content is not None:
        (tmp_path / "plugin.py").write_text(content, encoding="utf-8")
    result = kdbench(*command.split(), "--plugin", "plugin.py", cwd=tmp_path, check=2)
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: plugin plugin.py: {expected}")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / ".kdbench").exists()


def test_stored_copy_of_a_plugin_is_the_same_file(tmp_path: Path) -> None:
    """Workers find the copy by the digest of the original, whatever its line ends and encoding."""
    path = tmp_path / "plugin.py"
    path.write_bytes("# -*- coding: latin-1 -*-\r\nname = 'Jérôme'\r\n".encode("latin-1"))
    store = Store(tmp_path / "store")
    store.create()
    store.put_plugin(path)
    (copy,) = (store.root / "plugins").glob("*.py")
    assert copy.stem == file_digest(path) == file_digest(copy)
