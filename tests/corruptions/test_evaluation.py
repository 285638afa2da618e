"""The corruption evaluation as a cell: same pixels for all models, every number from the outcomes kept."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from kdbench.cells.job import CellResult, Job
from kdbench.corruptions.compute import corrupt
from kdbench.corruptions.library import library_version
from kdbench.errors import DataError
from kdbench.evaluations.corruption import run
from kdbench.hashing import derive_seed, file_digest
from kdbench.locations import Locations
from kdbench.models.convnet import ConvNet, ConvNetConfig
from kdbench.stats.corruption import mean_corruption_error
from kdbench.store import Store
from kdbench.tasks.dataset import ImageExamples, to_examples
from kdbench.tasks.spec import Columns, ImageFormat
from tests.corruptions.pictures import pictures, write_clean, write_prepared

pytest.importorskip("imagecorruptions", reason="needs pip install 'kdbench[corruptions]'")

MODELS = Path(os.environ.get("KDBENCH_MODELS", Path(__file__).parents[3] / "shared" / "models"))
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NAMES = ["gaussian_noise", "fog", "pixelate"]


def save(store: Store, key: str, model: ConvNet) -> str:
    model.save_pretrained(store.cell(key) / "model")
    return key


def network(seed: int, depth: int = 8) -> ConvNet:
    """An untrained network that does not give one class to everything."""
    torch.manual_seed(seed)
    model = ConvNet(ConvNetConfig(depth=depth, mean=MEAN, std=STD, num_labels=len(CLASSES)))
    torch.nn.init.normal_(model.net.linear.weight, std=1)
    return model


def view(path: Path, columns: Columns, split: str) -> dict[str, Any]:
    return {
        "source": {},
        "split": split,
        "fingerprint": f"sha256:{file_digest(path)}",
        "columns": columns.model_dump(),
        "labels": [],
        "label_map": [],
        "prediction_map": {},
    }


def make_job(folder: Path, model: str, clean: Path, prepared: Path | None = None, **changes: Any) -> Job:
    dataset = view(clean, Columns(image="img"), "test")
    source = view(prepared, Columns(image="image"), "train") if prepared else None
    form = ImageFormat(size=32, mean=MEAN, std=STD)
    spec: dict[str, Any] = {
        "task": {"kind": "image-classification", "labels": CLASSES, "image": form.model_dump(mode="json")},
        "dataset": dataset,
        "source": source,
        "library": None if source else library_version(),
        "limit": 20,
        "corruptions": NAMES,
        "severities": [1, 5],
        "upstream": {"model": model},
        **changes,
    }
    views = [(dataset, clean), *([(source, prepared)] if source else [])]
    paths = {part["fingerprint"]: str(path) for part, path in views}
    out = folder / f"out-{model}{'-prepared' if source else ''}"
    out.mkdir()
    return Job("key", spec, paths, Store(folder / "store"), Locations(), out, folder / "work", device="cpu")


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return write_clean(tmp_path / "test.parquet", pictures(30), np.arange(30) % 10)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def made(store: Store) -> dict[Path, int]:
    """The files of corrupted pixels, and when they were written."""
    return {path: path.stat().st_mtime_ns for path in (store.root / "cache" / "corruptions").rglob("pixels.npy")}


def test_every_number_follows_from_the_outcomes(tmp_path: Path, clean: Path, store: Store) -> None:
    job = make_job(tmp_path, save(store, "aa", network(1)), clean)
    result = run(job)
    table = pd.read_parquet(job.out / "examples.parquet")
    assert len(table) == 20 * len(NAMES) * 2
    assert table["id"].nunique() == 20
    right = table["prediction"] == table["label"]
    means = right.groupby([table["corruption"], table["severity"]], observed=True).mean()
    assert result.details["accuracy"] == {n: {str(s): means[n, s] for s in (1, 5)} for n in NAMES}
    assert result.metrics["corruption_accuracy"] == pytest.approx(right.mean())
    assert result.details["examples"] == 20
    assert result.cost["forward_examples"] == 20 * 7
    assert str(result.details["origin"]).startswith("computed-c, imagecorruptions-imaug ")


def test_predictions_are_those_of_the_corrupted_images(tmp_path: Path, clean: Path, store: Store) -> None:
    """Computed again here, image by image; ids tell which."""
    model = network(1)
    job = make_job(tmp_path, save(store, "aa", model), clean, limit=None)
    run(job)
    table = pd.read_parquet(job.out / "examples.parquet")
    frame = pd.read_parquet(clean)
    examples = to_examples(frame, Columns(image="img"), CLASSES, {}, "")
    assert isinstance(examples, ImageExamples)
    for row in (3, 17):
        seed = derive_seed("corruption", examples.ids[row])
        pixels = corrupt(pictures(30)[row : row + 1], "fog", 5, [seed])
        with torch.inference_mode():
            logits = model.eval()(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255).logits
        kept = table.query("id == @examples.ids[@row] and corruption == 'fog' and severity == 5")
        assert kept["prediction"].tolist() == [int(logits.argmax())]
        assert kept["label"].tolist() == [row % 10]


def test_all_models_see_the_same_pixels_made_once(tmp_path: Path, clean: Path, store: Store) -> None:
    jobs = [make_job(tmp_path, save(store, key, network(seed)), clean) for key, seed in (("aa", 1), ("bb", 2))]
    run(jobs[0])
    before = made(store)
    assert len(before) == len(NAMES) * 2
    run(jobs[1])
    assert made(store) == before
    tables = [pd.read_parquet(job.out / "examples.parquet") for job in jobs]
    assert (tables[0]["id"] == tables[1]["id"]).all()
    assert (tables[0]["prediction"] != tables[1]["prediction"]).any()
    fewer = replace(jobs[0], spec={**jobs[0].spec, "limit": 10})
    run(fewer)
    assert len(made(store)) == 2 * len(before), "another sample has pixels of its own"


def test_a_published_set_takes_the_place_of_computing(tmp_path: Path, clean: Path, store: Store) -> None:
    """A set made of what is computed gives the same outcomes, of the same sample; another set gives others."""
    frame = pd.read_parquet(clean)
    examples = to_examples(frame, Columns(image="img"), CLASSES, {}, "")
    seeds = [derive_seed("corruption", identity) for identity in examples.ids]
    images = {(name, s): corrupt(pictures(30), name, s, seeds) for name in NAMES for s in (1, 5)}
    published = write_prepared(tmp_path / "c/train.parquet", images, frame["label"].to_numpy())
    key = save(store, "aa", network(1))
    computed, read = make_job(tmp_path, key, clean), make_job(tmp_path, key, clean, published)
    results = [run(job) for job in (computed, read)]
    tables = [pd.read_parquet(job.out / "examples.parquet") for job in (computed, read)]
    pd.testing.assert_frame_equal(*tables)
    assert results[0].metrics == results[1].metrics
    assert results[1].details["origin"] == read.spec["source"]["fingerprint"]
    assert len(made(store)) == 2 * len(images), "the two never share pixels"


def test_another_library_than_planned_is_refused(tmp_path: Path, clean: Path, store: Store) -> None:
    """Its pixels may be others: they must not get into a cell that is keyed by the first one's."""
    job = make_job(tmp_path, save(store, "aa", network(1)), clean, library="imagecorruptions-imaug 1.0.0")
    with pytest.raises(DataError, match=r"planned with imagecorruptions-imaug 1\.0\.0, here is .*: run again"):
        run(job)


def test_texts_cannot_be_corrupted(tmp_path: Path, clean: Path, store: Store) -> None:
    job = make_job(tmp_path, save(store, "aa", network(1)), clean)
    job.spec["task"] = {"kind": "text-classification", "labels": CLASSES, "max_length": 8}
    with pytest.raises(DataError, match="corruptions are of images"):
        run(job)


def real_result(folder: Path, mirror: Path, depth: int, **changes: Any) -> CellResult:
    """A ResNet that was trained on lossless CIFAR-10, on images of its training set."""
    weights = MODELS / f"cifar10-resnet{depth}" / "model.safetensors"
    if not weights.is_file():
        pytest.skip("no trained networks (set KDBENCH_MODELS)")
    model = network(0, depth)
    model.net.load_state_dict(load_file(weights))
    store = Store(folder / "store")
    path = mirror / "local/cifar10-lossless-4k/default/train.parquet"
    return run(make_job(folder, save(store, f"r{depth}", model), path, **changes))


def test_a_real_network_on_real_images(tmp_path: Path, mirror: Path) -> None:
    """Nearly perfect on what it was trained on, worse when corrupted, and worse the more; mCE against itself is 1."""
    result = real_result(tmp_path, mirror, 20, limit=60, corruptions=["shot_noise", "motion_blur", "snow", "contrast"])
    assert result.metrics["clean_accuracy"] > 0.95
    assert 0.1 < result.metrics["corruption_accuracy"] < 0.8
    table: Any = result.details["accuracy"]
    assert all(row["5"] < row["1"] < 1 for row in table.values())
    assert mean_corruption_error(table, table) == 1
