"""Joining results of several machines or groups in one store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from kdbench.bundles.agreement import check_coverage
from kdbench.bundles.cells import read_cell
from kdbench.bundles.findings import Finding, Verification, record_file
from kdbench.bundles.layout import manifest_name
from kdbench.bundles.sources import Source, open_source
from kdbench.bundles.unite import Identity, identity, unite
from kdbench.bundles.verify import Evidence, check_manifest, verify
from kdbench.errors import StoreError
from kdbench.hashing import canonical_json
from kdbench.locks import locked
from kdbench.manifest import Manifest, read_manifests
from kdbench.store import Store, write_atomic


@dataclass
class Merged:
    """What came of a merge.

    Attributes:
        sources: what was found out about each.
        conflicts: why the sources do not go together, or not with what the store has.
        added: cells that are new in the store.
        known: cells that it had already.
        manifests: that were written.
        notes: seeds that methods lack now.
    """

    sources: list[Verification] = field(default_factory=list)
    conflicts: list[Finding] = field(default_factory=list)
    added: int = 0
    known: int = 0
    manifests: list[Manifest] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        """Whether there was any reason to write nothing."""
        return bool(self.conflicts or any(source.findings for source in self.sources))


def merge(paths: Sequence[Path], target: Store) -> Merged:
    """Verify all sources, then add their cells and manifests to a store, new or not; weights are not copied.

    Nothing is written when a source has findings, or when two cells claim one key or one place. Cells are published
    one by one; manifests follow last, so that what was interrupted is unseen, and the same merge goes on.

    Raises:
        StoreError: a source cannot be read, or the store cannot be written.
    """
    merged = Merged()
    with ExitStack() as stack:
        sources = [stack.enter_context(open_source(path)) for path in paths]
        verified = [verify(source) for source in sources]
        merged.sources = [verification for verification, _ in verified]
        if merged.refused:
            return merged
        evidence, origins = _join(sources, [evidence for _, evidence in verified], merged)
        _compare_with(target, evidence, merged)
        existing = read_manifests(target)
        _unite(sources, target, existing, evidence, merged)
        if merged.refused:
            return merged
        target.create()
        for key, source in origins.items():
            if read_cell(target, key) is None:
                target.adopt(evidence.records[key], source.store.cell(key))
                merged.added += 1
            else:
                merged.known += 1
        with locked(target.root / "plans" / ".lock"):
            now = read_manifests(target)
            if now != existing:  # a run was planned meanwhile
                _unite(sources, target, now, evidence, merged)
            if not merged.refused:
                _write(target, merged)
    return merged


def _join(sources: Sequence[Source], found: Sequence[Evidence], merged: Merged) -> tuple[Evidence, dict[str, Source]]:
    """The evidence of all sources, and where each cell is taken from."""
    joint = Evidence()
    origins: dict[str, Source] = {}
    for source, evidence in zip(sources, found, strict=True):
        for key, record in evidence.records.items():
            if joint.records.setdefault(key, record) != record:
                merged.conflicts.append(_two_results(key, origins[key].name, source.name))
            origins.setdefault(key, source)
        joint.samples |= evidence.samples
    return joint, origins


def _compare_with(target: Store, evidence: Evidence, merged: Merged) -> None:
    """Conflicts with cells that the store has."""
    for key, record in evidence.records.items():
        try:
            own = read_cell(target, key)
        except StoreError as error:
            what = f"{target.root}: its own cell is damaged ({error}): run its suite again, or delete the folder"
            merged.conflicts.append(Finding(what, file=f"cells/{key[:2]}/{key}"))
            continue
        if own is not None and own != record:
            merged.conflicts.append(_two_results(key, str(target.root), "a source"))


def _two_results(key: str, one: str, other: str) -> Finding:
    what = (
        f"{one} and {other} have different results of the same cell: on other hardware the same training gives other "
        "weights, and what was built on one is not comparable with what was built on the other"
    )
    return Finding(what, file=record_file(key))


def _unite(
    sources: Sequence[Source], target: Store, existing: Sequence[Manifest], evidence: Evidence, merged: Merged
) -> None:
    """Fill in the manifests to be written, what they lack, and every conflict."""
    groups: dict[Identity, list[tuple[str, Manifest]]] = defaultdict(list)
    for source in sources:
        for manifest in source.manifests:
            groups[identity(manifest)].append((source.name, manifest))
    merged.manifests, merged.notes = [], []
    order = max((manifest.order for manifest in existing), default=0)
    for group, named in groups.items():
        everything = evidence
        own = [manifest for manifest in existing if identity(manifest) == group]
        if own:
            known, theirs = verify(Source(str(target.root), target, own), coverage=False)
            merged.conflicts += known.findings
            everything = Evidence(theirs.records | evidence.records, theirs.samples | evidence.samples)
        united, conflicts = unite([(str(target.root), manifest) for manifest in own] + named, everything.records)
        merged.conflicts += conflicts or check_manifest(united, everything)
        merged.notes += check_coverage(united)
        if own != [united]:
            order += 1
            merged.manifests.append(united.model_copy(update={"order": order}))


def _write(target: Store, merged: Merged) -> None:
    for manifest in merged.manifests:
        write_atomic(target.root / manifest_name(manifest), canonical_json(manifest.model_dump(mode="json")))
