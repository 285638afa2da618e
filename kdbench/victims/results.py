"""A folder of attacks on one model: a summary, and a table of outcomes for each attack."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, JsonValue, ValidationError
from safetensors.torch import save_file

from kdbench.attacks.image_state import StateFile
from kdbench.attacks.outcomes import HELD
from kdbench.errors import StoreError
from kdbench.hashing import digest
from kdbench.locks import locked
from kdbench.schema import Spec
from kdbench.stats.intervals import wilson_interval
from kdbench.store import write_atomic
from kdbench.victims.attack import Attacked

_UNFINISHED = ".unfinished.safetensors"
_LOCK = ".lock"
OUTCOMES = ("skipped", *HELD, "success")


class AttackEntry(Spec):
    """What came of one attack."""

    version: str = Field(description="changes with every setting of the attack that can change an outcome")
    metrics: dict[str, float]
    interval: tuple[float, float] | None = Field(
        description="of accuracy_under_attack, if that is a metric: Wilson's, 95 %"
    )
    counts: dict[str, int] = Field(description="examples by outcome; images have no query budget to exhaust")
    seconds: float
    flags: tuple[str, ...] = Field((), description="doubts about the attack")
    details: dict[str, JsonValue] = Field(default_factory=dict, description="of images: security curve and the like")

    @property
    def examples(self) -> int:
        """How many were attacked or skipped."""
        return sum(self.counts.values())


class Summary(Spec):
    """All that is known of the attacks on a model."""

    settings: dict[str, JsonValue] = Field(description="of all attacks: whatever else can change an outcome")
    attacks: dict[str, AttackEntry] = Field(default_factory=dict)


def summarize_attack(version: str, attacked: Attacked, seconds: float) -> AttackEntry:
    """Metrics, interval and counts of one attack."""
    outcomes = attacked.table["outcome"]
    possible = [name for name in OUTCOMES if attacked.images is None or name != "exhausted"]
    counts = {name: int((outcomes == name).sum()) for name in possible}
    interval = wilson_interval(int(outcomes.isin(HELD).sum()), len(outcomes))
    return AttackEntry(
        version=version,
        metrics=attacked.metrics,
        interval=interval if "accuracy_under_attack" in attacked.metrics else None,
        counts=counts,
        seconds=round(seconds, 3),
        flags=attacked.flags,
        details=attacked.details,
    )


class Results:
    """The attacks finished so far, kept in a folder when there is one.

    ``summary.json`` names what is whole: an attack is entered when its other files are there.
    """

    def __init__(self, folder: Path | None, settings: dict[str, Any]) -> None:
        """Open a folder; nothing is written yet.

        Raises:
            StoreError: it holds something else, or the results of other settings.
        """
        self.folder = folder
        self.tables: dict[str, pd.DataFrame] = {}
        self.summary = Summary(settings=settings)
        if folder is None or not folder.exists():
            return
        others = not folder.is_dir() or any(not self._is_own(path.name) for path in folder.iterdir())
        if others and not (folder / "summary.json").is_file():
            raise StoreError(f"{folder}: holds other files than attacks: choose another --out")
        if (folder / "summary.json").is_file():
            self.summary = _same(_read(folder / "summary.json"), self.summary, folder)

    def finished(self, name: str, version: str) -> bool:
        """Whether an attack is done; its table is loaded then.

        Raises:
            StoreError: it was done with other settings of its own.
        """
        entry = self.summary.attacks.get(name)
        if entry is None:
            return False
        if entry.version != version:
            raise StoreError(
                f"{self.folder}: holds {name} as {entry.version}, now it is {version}: choose another --out"
            )
        if name not in self.tables:
            assert self.folder is not None
            try:
                self.tables[name] = pd.read_parquet(self.folder / f"{name}.parquet")
            except (OSError, ValueError):
                return False  # lost or damaged: done again
        return True

    def create(self) -> None:
        """Make the folder and see that it can be written, before hours of work depend on that.

        Raises:
            StoreError: it cannot.
        """
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError as error:
            raise StoreError(f"{self.folder}: cannot be written: {error.strerror}") from error

    def state(self, name: str, version: str) -> StateFile | None:
        """Where an attack on images keeps what it has found so far; nowhere without a folder."""
        if self.folder is None:
            return None
        return StateFile(self._unfinished(name), digest([self.summary.settings, version]))

    @staticmethod
    def _is_own(name: str) -> bool:
        return name == _LOCK or name.endswith(_UNFINISHED)

    def _unfinished(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / f".{name}{_UNFINISHED}"

    def as_json(self, pairs: int = 0) -> dict[str, Any]:
        """The settings, and the entry of every attack that was asked for and is finished; plain data.

        Args:
            pairs: how many successes of each attack to add, as rows of its table.
        """
        content: dict[str, Any] = self.summary.model_dump(mode="json")
        attacks = {name: entry for name, entry in content["attacks"].items() if name in self.tables}
        for name, entry in attacks.items() if pairs else ():
            table = self.tables[name]
            rows = table[table["outcome"] == "success"].head(pairs)
            entry["pairs"] = json.loads(rows.to_json(orient="records"))
        return {**content, "attacks": attacks}

    def keep(self, name: str, entry: AttackEntry, attacked: Attacked) -> None:
        """Add a finished attack to what is there by now: other processes may have added theirs.

        Raises:
            StoreError: the folder cannot be written, or holds the results of other settings by now.
        """
        self.tables[name] = attacked.table
        self._enter(name, entry)
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / _LOCK):
                if (self.folder / "summary.json").is_file():
                    self.summary = _same(_read(self.folder / "summary.json"), self.summary, self.folder)
                    self._enter(name, entry)
                attacked.table.to_parquet(self.folder / f"{name}.parquet")
                if attacked.images is not None:
                    save_file({"images": attacked.images.contiguous()}, self.folder / f"{name}.safetensors")
                write_atomic(self.folder / "summary.json", self.summary.model_dump_json(indent=1))
            self._unfinished(name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{self.folder}: cannot be written: {error.strerror}") from error

    def _enter(self, name: str, entry: AttackEntry) -> None:
        self.summary = self.summary.model_copy(update={"attacks": {**self.summary.attacks, name: entry}})


def _read(path: Path) -> Summary:
    try:
        return Summary.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise StoreError(f"{path}: cannot be read as a summary of attacks: choose another --out") from error


def _same(found: Summary, wanted: Summary, folder: Path) -> Summary:
    """The found summary, if it was made with the wanted settings."""
    differs = [name for name, value in wanted.settings.items() if found.settings.get(name) != value]
    if differs:
        pairs = ", ".join(f"{name} {found.settings.get(name)}, not {wanted.settings[name]}" for name in differs)
        raise StoreError(f"{folder}: holds attacks with {pairs}: choose another --out")
    return found
