"""Installed packages, as far as Python's metadata is concerned: a folder for ``PYTHONPATH``."""

from __future__ import annotations

from pathlib import Path


def write_distribution(folder: Path, name: str, version: str, methods: dict[str, str]) -> None:
    """Write what pip would leave of a package that offers methods: name -> ``module:class``."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    entries = "".join(f"{method} = {target}\n" for method, target in methods.items())
    (info / "entry_points.txt").write_text(f"[kdbench.methods]\n{entries}", encoding="utf-8")
