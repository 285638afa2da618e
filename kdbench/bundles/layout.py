"""What a bundle is: a store without weights, and ``bundle.json`` beside its one manifest.

Layout::

    bundle.json                    what it holds, and the SHA-256 of every other member
    plans/<manifest>.json          what was asked for
    cells/<kk>/<key>/record.json   one folder for each finished cell, with run.json and its outcomes

A bundle is a directory of this layout, or one ``.tar.xz`` of it.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from kdbench.manifest import Manifest
from kdbench.schema import Spec

INFO_FILE = "bundle.json"

_MEMBER = re.compile(r"bundle\.json|plans/[\w.-]+\.json|cells/[0-9a-f]{2}/[0-9a-f]{64}(/\w[\w.-]*)+", re.ASCII)
_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PLAIN = re.compile(r"\w[\w.-]*", re.ASCII)


class BundleInfo(Spec):
    """The table of contents, ``bundle.json``."""

    format: Literal[1] = Field(1, description="raised whenever the layout changes")
    kdbench: str = Field(description="version that wrote it")
    suite: str
    suite_version: int
    budget: str
    version: str = Field(description="digest of suite and budget: what one leaderboard has in common")
    commands: tuple[str, ...]
    pairs: tuple[str, ...]
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...] = Field(description="of students")
    cells: int = Field(description="finished ones, assistants included")
    unfinished: int = Field(description="cells that the manifest asks for and that are not here")
    members: dict[str, str] = Field(description="name -> SHA-256")


def is_member(name: str) -> bool:
    """Whether a file of this name, relative to the bundle, may be in one; such names stay inside of it."""
    return bool(_MEMBER.fullmatch(name))


def is_key(text: str) -> bool:
    """Whether a text has the form of a cell's key."""
    return bool(_KEY.fullmatch(text))


def manifest_name(manifest: Manifest) -> str:
    """Where a store keeps a manifest; empty when its names make no file name."""
    parts = (manifest.suite, manifest.budget, manifest.version)
    return f"plans/{'-'.join(parts)}.json" if all(map(_PLAIN.fullmatch, parts)) else ""
