"""Locating models: mirrors before packages before the hub, fingerprints of content, reasons when missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kdbench.locations import Locations
from kdbench.models.locate import locate_model
from kdbench.models.spec import ModelSource, ModelSpec, PairSpec, TinyBert

HUB = ModelSource(hub="me/m", revision="abc")


def _mirror(root: Path, name: str = "me/m", weights: bytes = b"w") -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_a_mirror_comes_first_and_is_known_by_its_content(tmp_path: Path) -> None:
    """The first mirror that has the model wins; other weights are another fingerprint."""
    first = _mirror(tmp_path / "a")
    _mirror(tmp_path / "b", weights=b"other")
    empty = tmp_path / "empty"
    found = locate_model(HUB, Locations(models=(empty, tmp_path / "a", tmp_path / "b")))
    assert found.path == first and found.missing is None
    assert found.fingerprint.startswith("sha256:")
    assert locate_model(HUB, Locations(models=(tmp_path / "b",))).fingerprint != found.fingerprint


def test_the_place_of_a_mirror_is_not_part_of_the_fingerprint(tmp_path: Path) -> None:
    """The same files elsewhere are the same model."""
    prints = set()
    for name in ("a", "b"):
        _mirror(tmp_path / name)
        prints.add(locate_model(HUB, Locations(models=(tmp_path / name,))).fingerprint)
    assert len(prints) == 1


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json"])
def test_everything_that_changes_the_numbers_changes_the_fingerprint(tmp_path: Path, name: str) -> None:
    """Another configuration or vocabulary makes another model of the same weights: its cells need other keys."""
    folder = _mirror(tmp_path)
    before = locate_model(HUB, Locations(models=(tmp_path,))).fingerprint
    (folder / name).write_text('{"hidden_act": "relu"}')
    assert locate_model(HUB, Locations(models=(tmp_path,))).fingerprint != before


def test_sharded_weights_count_whole(tmp_path: Path) -> None:
    """A change in any shard."""
    folder = _mirror(tmp_path)
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"1")
    before = locate_model(HUB, Locations(models=(tmp_path,))).fingerprint
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"2")
    assert locate_model(HUB, Locations(models=(tmp_path,))).fingerprint != before


def test_hub_models_are_known_by_their_pinned_commit() -> None:
    """Reachable unless offline or silent; the fingerprint is the same in all cases."""
    online = locate_model(HUB, Locations())
    assert online.missing is None and online.path is None and online.fingerprint == "hub:me/m@abc"
    offline = locate_model(HUB, Locations(offline=True))
    assert offline.missing == "me/m: not in a model mirror (--models DIR), and offline"
    silent = locate_model(HUB, Locations(hub=False))
    assert silent.missing == "me/m: not in a model mirror (--models DIR), and the hub does not answer"
    assert offline.fingerprint == silent.fingerprint == online.fingerprint


def test_a_missing_package_says_what_to_install() -> None:
    """The distribution if it is named, else the package."""
    source = {"package": "no_such_package_xyz", "sha256": "0" * 64}
    found = locate_model(ModelSource(**source), Locations())
    assert found.missing == "package no_such_package_xyz is missing: pip install 'no_such_package_xyz'"
    found = locate_model(ModelSource(**source, distribution="kdbench[assets]"), Locations())
    assert found.missing == "package no_such_package_xyz is missing: pip install 'kdbench[assets]'"


def test_tiny_models_are_known_by_their_shape() -> None:
    """They have no files."""
    small, wide = (locate_model(ModelSource(tiny=TinyBert(hidden=size)), Locations()) for size in (16, 32))
    assert small.missing is None and small.fingerprint != wide.fingerprint


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "exactly one of hub, package, tiny, net; has none"),
        ({"hub": "a/b", "tiny": {}}, "exactly one of hub, package, tiny, net; has hub, tiny"),
        ({"package": "p"}, "a packaged model needs its sha256"),
        ({"hub": "../../etc"}, "must be a plain name"),
        ({"hub": "/etc"}, "must be a plain name"),
        ({"package": "p", "sha256": "0", "path": "../x"}, "must be a plain name"),
    ],
)
def test_sources_that_cannot_be(source: dict[str, Any], message: str) -> None:
    """Refused when they are read."""
    with pytest.raises(ValidationError, match=message):
        ModelSource.model_validate(source)


def test_a_pair_names_all_its_models() -> None:
    """Teacher, student, assistants, generator; the last two are optional."""
    one, two, three, four = (ModelSpec(name=name, source=ModelSource(tiny=TinyBert())) for name in ("a", "b", "c", "d"))
    pair = PairSpec(name="p", teacher=one, student=two, assistants=(three,), generator=four)
    assert [model.name for model in pair.models()] == ["a", "b", "c", "d"]
    assert [model.name for model in PairSpec(name="p", teacher=one, student=two).models()] == ["a", "b"]
