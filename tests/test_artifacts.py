"""The cache of shared work: bounded, and what was used last stays."""

from __future__ import annotations

import os
from pathlib import Path

from kdbench.artifacts import ArtifactCache


def test_trimming_deletes_what_was_not_used_for_longest(tmp_path: Path) -> None:
    """Reading counts as use; other kinds are left alone."""
    cache = ArtifactCache(tmp_path)

    def fill(folder: Path) -> None:
        (folder / "data").write_bytes(b"x" * 100)

    first, second, third = (cache.get("views", {"n": n}, fill) for n in range(3))
    other = cache.get("others", {}, fill)
    for age, folder in enumerate((third, second, first)):
        os.utime(folder, (1000 + age, 1000 + age))
    cache.get("views", {"n": 2}, fill)  # the oldest is read again
    cache.trim("views", 200)
    assert [folder.is_dir() for folder in (first, second, third, other)] == [True, False, True, True]
    cache.trim("views", 0)
    assert not first.exists() and not third.exists() and other.is_dir()
