"""Where the browser of the tests comes from, and that nothing but the pinned one is unpacked."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from pathlib import Path

import brotli
import pytest

from tests.browser import chromium
from tests.browser.chromium import Chromium, NoBrowserError, check_integrity, find_chromium, unpack


def archive(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def package(library: str = "lib/libnss3.so") -> bytes:
    inner = {name: archive({library: b"elf"} if name == "al2023.tar.br" else {}) for name in chromium._ARCHIVES}
    files = {f"package/bin/{name}": brotli.compress(content) for name, content in inner.items()}
    return archive(files | {"package/bin/chromium.br": brotli.compress(b"#!/bin/sh\n")})


def test_the_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, on_path, installed = tmp_path / "own", tmp_path / "bin" / "chromium", tmp_path / "installed"
    on_path.parent.mkdir()
    for path in (own, on_path, installed):
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    monkeypatch.setenv("KDBENCH_TEST_CHROMIUM", str(own))
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find_chromium(installed) == Chromium(own)
    monkeypatch.delenv("KDBENCH_TEST_CHROMIUM")
    assert find_chromium(installed) == Chromium(on_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_chromium(installed) == Chromium(installed)


def test_without_any_the_reason_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry of this test is a port that nobody listens at."""
    monkeypatch.delenv("KDBENCH_TEST_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(chromium.REGISTRY, "https://127.0.0.1:9")
    with pytest.raises(NoBrowserError, match="no browser found"):
        find_chromium(tmp_path / "none", cache=tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []
    monkeypatch.setenv("KDBENCH_TEST_CHROMIUM", str(tmp_path / "gone"))
    with pytest.raises(NoBrowserError, match="which is no file"):
        find_chromium(tmp_path / "none")


def test_another_tarball_is_refused() -> None:
    content = package()
    digest = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    check_integrity(content, digest)
    with pytest.raises(NoBrowserError, match="not the pinned one"):
        check_integrity(content + b" ", digest)


def test_unpacks_an_executable_with_its_libraries(tmp_path: Path) -> None:
    unpack(package(), tmp_path / "chromium")
    assert (tmp_path / "chromium" / "chromium").stat().st_mode & 0o111
    assert (tmp_path / "chromium" / "lib" / "libnss3.so").read_bytes() == b"elf"


def test_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(tarfile.OutsideDestinationError):
        unpack(package("../outside"), tmp_path / "chromium")
    assert not (tmp_path / "outside").exists()
