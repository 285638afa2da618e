"""A headless Chromium for tests of pages: one that is there, or a pinned build from the npm registry."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import platform
import shutil
import sys
import tarfile
import tempfile
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import brotli

from kdbench.locks import locked

VERSION = "153.0.0"
INTEGRITY = "sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
"""Of the tarball of ``@sparticuz/chromium``, as the registry's metadata and lock files state it."""

REGISTRY = "npm_config_registry"
"""Where npm is told to look, as it names that itself."""

PATH_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_ARCHIVES = ("al2023.tar.br", "swiftshader.tar.br", "fonts.tar.br")
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
<dir>/usr/share/fonts</dir>
<dir prefix="relative">fonts</dir>
<cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""


class NoBrowserError(Exception):
    """There is no browser and none can be had; says why."""


@dataclass(frozen=True)
class Chromium:
    """An executable, and what its environment must hold beside the usual."""

    executable: Path
    environment: dict[str, str] = field(default_factory=dict)


def find_chromium(installed: Path, cache: Path = Path(sys.prefix) / "share" / "kdbench-tests") -> Chromium:
    """The first there is: ``KDBENCH_TEST_CHROMIUM``, one on the path, playwright's own, the pinned build.

    Args:
        installed: where playwright would have its own.
        cache: where the pinned build is kept.

    Raises:
        NoBrowserError: there is none, and it cannot be downloaded.
    """
    named = os.environ.get("KDBENCH_TEST_CHROMIUM")
    if named:
        if not Path(named).is_file():
            raise NoBrowserError(f"KDBENCH_TEST_CHROMIUM names {named}, which is no file")
        return Chromium(Path(named))
    for name in PATH_NAMES:
        found = shutil.which(name)
        if found:
            return Chromium(Path(found))
    if installed.is_file():
        return Chromium(installed)
    return _pinned(cache)


def _pinned(cache: Path) -> Chromium:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise NoBrowserError(
            f"no browser found, and the pinned one is for Linux on x86-64, not {sys.platform} on {platform.machine()}: "
            "install one with 'playwright install chromium'"
        )
    folder = cache / f"chromium-{VERSION}"
    if not folder.is_dir():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with locked(cache / "lock"):
                if not folder.is_dir():
                    _install(folder)
        except OSError as error:
            raise NoBrowserError(f"no browser found, and the pinned one cannot be had: {error}") from error
    libraries = os.pathsep.join(filter(None, (str(folder / "lib"), os.environ.get("LD_LIBRARY_PATH"))))
    return Chromium(
        folder / "chromium", {"LD_LIBRARY_PATH": libraries, "FONTCONFIG_FILE": str(folder / "kdbench-fonts.conf")}
    )


def _install(folder: Path) -> None:
    """Download, check and unpack beside its place, and move it there when it is whole."""
    registry = os.environ.get(REGISTRY, "https://registry.npmjs.org").rstrip("/")
    url = f"{registry}/@sparticuz/chromium/-/chromium-{VERSION}.tgz"
    if not url.startswith("https://"):
        raise NoBrowserError(f"no browser found, and {registry} is no https registry to download one from")
    with urllib.request.urlopen(url, timeout=120) as response:
        tarball = response.read()
    check_integrity(tarball, INTEGRITY)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        unpack(tarball, Path(temporary) / folder.name)
        (Path(temporary) / folder.name).rename(folder)


def check_integrity(content: bytes, expected: str) -> None:
    """Compare with a digest in the style of the web's subresource integrity.

    Raises:
        NoBrowserError: it is not that content.
    """
    found = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != expected:
        raise NoBrowserError(f"the downloaded browser is not the pinned one: its digest is {found}, not {expected}")


def unpack(tarball: bytes, folder: Path) -> None:
    """The executable and its libraries and fonts from the package's compressed files; nothing outside ``folder``."""
    folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(tarball)) as package:

        def content(name: str) -> bytes:
            stream = package.extractfile(f"package/bin/{name}")
            if stream is None:
                raise NoBrowserError(f"the pinned browser's package has no {name}")
            return brotli.decompress(stream.read())

        (folder / "chromium").write_bytes(content("chromium.br"))
        for name in _ARCHIVES:
            with tarfile.open(fileobj=io.BytesIO(content(name))) as archive:
                archive.extractall(folder, filter="data")
    (folder / "chromium").chmod(0o755)
    (folder / "kdbench-fonts.conf").write_text(_FONTS, encoding="utf-8")
