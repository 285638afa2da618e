"""A finished store of a real run, made once for all tests of bundles."""

from __future__ import annotations

import functools
from pathlib import Path

from kdbench.bundles.export import export
from kdbench.bundles.findings import Finding
from kdbench.bundles.sources import open_source
from kdbench.bundles.verify import verify
from kdbench.manifest import Manifest, read_manifests
from kdbench.store import Store, write_atomic
from tests.conftest import kdbench, write_suite

ATTACK = "attack: {attacks: [deepwordbug], examples: 6, query_budget: 60}"


@functools.cache
def finished_store(folder: Path) -> Store:
    """Two seeds of kd, takd (which has an assistant) and finetune, attacked; run in a folder of its own."""
    home = folder / "tiny-run"
    home.mkdir()
    write_suite(home / "tiny.yaml", epochs=1, attack=ATTACK)
    options = ("--methods", "kd,takd", "--seeds", "1,2", "--jobs", 1, "--store", home / "store")
    kdbench("run", "--suite", "./tiny.yaml", *options, cwd=home)
    return Store(home / "store")


@functools.cache
def bundle_of(store: Store) -> Path:
    """The bundle of a store with one manifest, beside it."""
    path = store.root.parent / "whole.tar.xz"
    export(store, only_manifest(store), path)
    return path


def only_manifest(store: Store) -> Manifest:
    """The manifest of a store that has one."""
    (manifest,) = read_manifests(store)
    return manifest


def part_of(store: Store, root: Path, *, methods: tuple[str, ...] = (), seeds: tuple[int, ...] = ()) -> Path:
    """A bundle as another machine would send it that ran some methods or seeds only; teachers are everywhere."""
    whole = only_manifest(store)
    rows = [
        row
        for row in whole.rows
        if row.method == "teacher" or (row.method in (methods or whole.methods) and row.seed in (seeds or (1, 2)))
    ]
    used = {row.method for row in rows}
    infos = {name: info for name, info in whole.methods.items() if name in used}
    part = whole.model_copy(update={"rows": rows, "methods": infos, "commands": [f"kdbench run --store {root}"]})
    path = root / f"{'-'.join((*methods, *map(str, seeds)))}.tar.xz"
    export(store, part, path)
    return path


def findings_of(path: Path) -> list[Finding]:
    """What verification finds."""
    with open_source(path) as source:
        return verify(source)[0].findings


def only(findings: list[Finding], what: str) -> Finding:
    """The findings whose words hold ``what``: there is one."""
    (found,) = [finding for finding in findings if what in finding.what]
    return found


def write_manifest(store: Store, manifest: Manifest) -> None:
    """Add a manifest to a store."""
    store.create()
    name = f"{manifest.suite}-{manifest.budget}-{manifest.version}.json"
    write_atomic(store.root / "plans" / name, manifest.model_dump_json())
