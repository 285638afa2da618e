"""Archives: the same bytes for the same contents, and nothing dangerous comes out of one."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path

import pytest

from kdbench.bundles.archive import unpack, write_archive
from kdbench.errors import StoreError

KEY = "ab" + "0" * 62
MEMBERS: dict[str, bytes | Path] = {
    "plans/s-quick-1.json": b"{}",
    f"cells/ab/{KEY}/record.json": b"[]",
    "bundle.json": b"{}",
}


def _archive(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with lzma.open(path, "wb") as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for entry, content in entries:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def _refused(path: Path, folder: Path, **limits: int) -> str:
    folder.mkdir()
    with pytest.raises(StoreError) as caught:
        unpack(path, folder, **limits)
    return str(caught.value)


def test_bytes_depend_on_contents_alone(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.tar.xz", MEMBERS)
    moved = tmp_path / "elsewhere"
    moved.write_bytes(b"[]")
    write_archive(tmp_path / "b.tar.xz", dict(reversed(MEMBERS.items())) | {f"cells/ab/{KEY}/record.json": moved})
    assert (tmp_path / "a.tar.xz").read_bytes() == (tmp_path / "b.tar.xz").read_bytes()
    with tarfile.open(tmp_path / "a.tar.xz") as archive:
        entries = archive.getmembers()
    assert [entry.name for entry in entries] == sorted(MEMBERS)
    assert {(entry.mtime, entry.uid, entry.uname) for entry in entries} == {(0, 0, "")}


def test_contents_come_back(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.tar.xz", MEMBERS)
    unpack(tmp_path / "a.tar.xz", tmp_path / "out")
    found = {str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in (tmp_path / "out").rglob("*.json")}
    assert found == MEMBERS


def test_failed_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.xz"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError):
        write_archive(path, MEMBERS | {"plans/x.json": tmp_path / "none"})
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar.xz"] and path.read_bytes() == b"old"


@pytest.mark.parametrize("kept", [0.3, 0.98])
def test_truncated_archive(tmp_path: Path, kept: float) -> None:
    """Also when only the end of the compressed stream is lost."""
    path = tmp_path / "a.tar.xz"
    write_archive(path, MEMBERS)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert "is damaged, or is no .tar.xz" in _refused(path, tmp_path / "out")


def test_no_archive_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.tar.xz").write_bytes(b"PK\x03\x04 something else")
    assert "is damaged, or is no .tar.xz" in _refused(tmp_path / "a.tar.xz", tmp_path / "out")


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "/etc/evil.json",
        f"cells/ab/{KEY}/../../../../evil",
        f"cells/ab/{KEY}/..",
        "plans/../../evil.json",
        f"cells/ab/{KEY}/.hidden",
        "cells/ab/short/record.json",
        "setup.py",
    ],
)
def test_names_that_no_bundle_has(tmp_path: Path, name: str) -> None:
    path = _archive(tmp_path / "a.tar.xz", (tarfile.TarInfo(name), b"x"))
    assert f"{name}: is no name of a bundle's member" in _refused(path, tmp_path / "out")
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices(tmp_path: Path, kind: bytes) -> None:
    entry = tarfile.TarInfo("plans/s.json")
    entry.type, entry.linkname = kind, "/etc/passwd"
    assert "is a link or a device" in _refused(_archive(tmp_path / "a.tar.xz", (entry, b"")), tmp_path / "out")


def test_member_that_stands_twice(tmp_path: Path) -> None:
    entries = [(tarfile.TarInfo("bundle.json"), content) for content in (b"good", b"evil")]
    assert "bundle.json: stands twice" in _refused(_archive(tmp_path / "a.tar.xz", *entries), tmp_path / "out")


def test_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    """Sixty megabytes of zeros in a file of a few kilobytes."""
    path = _archive(tmp_path / "a.tar.xz", (tarfile.TarInfo("bundle.json"), bytes(60_000_000)))
    assert path.stat().st_size < 20_000
    complaint = _refused(path, tmp_path / "out", most_bytes=5_000_000)
    assert complaint == f"{path}: unpacks to more than 5,000,000 bytes: no bundle does"
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*") if file.is_file()) <= 5_000_000


def test_bomb_in_a_header(tmp_path: Path) -> None:
    """Extended headers are read into memory before any member is seen: they count, too."""
    entry = tarfile.TarInfo("bundle.json")
    entry.pax_headers = {"comment": "x" * 20_000_000}
    path = _archive(tmp_path / "a.tar.xz", (entry, b""))
    assert "unpacks to more than" in _refused(path, tmp_path / "out", most_bytes=5_000_000)
