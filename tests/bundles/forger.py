"""Forging bundles as somebody would who knows their format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from kdbench.hashing import canonical_json, digest
from kdbench.store import is_result

Json = dict[str, Any]


class Forger:
    """Edits an unpacked bundle; ``seal`` makes all its digests right again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (self.plan,) = (folder / "plans").glob("*.json")
        self.manifest: Json = json.loads(self.plan.read_text())

    def cell(self, key: str) -> Path:
        return self.folder / "cells" / key[:2] / key

    def key(self, method: str, seed: int = 1, evaluation: str = "", dataset: str = "") -> str:
        """The cell of a row; evaluations have one set each here."""
        rows = [
            row
            for row in self.manifest["rows"]
            if (row["method"], row["seed"], row["evaluation"]) == (method, seed, evaluation)
            and dataset in ("", row["dataset"])
        ]
        assert len(rows) == 1
        return str(rows[0]["key"])

    def record(self, key: str) -> Json:
        loaded: Json = json.loads((self.cell(key) / "record.json").read_text())
        return loaded

    def put(self, key: str, record: Json) -> None:
        (self.cell(key) / "record.json").write_text(canonical_json(record))

    def edit(self, key: str, change: Callable[[Json], None]) -> None:
        """Change a record."""
        record = self.record(key)
        change(record)
        self.put(key, record)

    def outcomes(self, key: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Change the outcomes of a cell."""
        path = self.cell(key) / "examples.parquet"
        change(pd.read_parquet(path)).to_parquet(path)

    def respec(self, key: str, change: Callable[[Json], None]) -> str:
        """Change a spec, and with it the key, also in everything that is built on the cell; returns the new key."""
        record = self.record(key)
        change(record["spec"])
        new = record["key"] = digest(record["spec"])
        self.put(key, record)
        self.cell(new).parent.mkdir(exist_ok=True)
        self.cell(key).rename(self.cell(new))
        for row in self.manifest["rows"]:
            row["key"] = new if row["key"] == key else row["key"]
        for path in list(self.folder.glob("cells/*/*/record.json")):
            other = path.parent.name
            if path.exists() and f'"{key}"' in path.read_text():
                self.respec(other, lambda spec: spec.update(_replaced(spec, key, new)))
        return new

    def drop(self, method: str, seed: int) -> None:
        """Take a method's seed out of the manifest, and its cells."""
        gone = [row for row in self.manifest["rows"] if (row["method"], row["seed"]) == (method, seed)]
        self.manifest["rows"] = [row for row in self.manifest["rows"] if row not in gone]
        for row in gone:
            self.remove(row["key"])

    def remove(self, key: str) -> None:
        for path in self.cell(key).iterdir():
            path.unlink()
        self.cell(key).rmdir()

    def seal(self) -> Path:
        """Make every size, digest and count right again; returns the bundle."""
        for path in self.folder.glob("cells/*/*/record.json"):
            record = json.loads(path.read_text())
            for name in filter(is_result, record["files"]):
                content = (path.parent / name).read_bytes()
                record["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            path.write_text(canonical_json(record))
        self.plan.write_text(canonical_json(self.manifest))
        info = json.loads((self.folder / "bundle.json").read_text())
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.name != "bundle.json"]
        info["members"] = {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
        }
        keys = {row["key"] for row in self.manifest["rows"]}
        info["unfinished"] = sum(not self.cell(key).is_dir() for key in keys)
        (self.folder / "bundle.json").write_text(canonical_json(info))
        return self.folder


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    return new if value == old else value
