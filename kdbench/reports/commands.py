"""Command lines as anybody could type them: without the folders of one machine."""

from __future__ import annotations

import shlex
from pathlib import PurePath

_FOLDERS = ("--data", "--models", "--store")


def portable_command(command: str) -> str:
    """The command with absolute paths replaced: folders by ``DIR``, files by their name.

    >>> portable_command("kdbench run --data /home/me/mirror --plugin /home/me/mine.py --suite s")
    'kdbench run --data DIR --plugin mine.py --suite s'
    """
    words: list[str] = []
    for word in shlex.split(command):
        option, equals, value = word.partition("=")
        if equals:
            words.append(f"{option}={_portable(value, option)}")
        else:
            words.append(_portable(word, words[-1] if words else ""))
    return shlex.join(words)


def _portable(value: str, option: str) -> str:
    if not PurePath(value).is_absolute():
        return value
    return "DIR" if option in _FOLDERS else PurePath(value).name
