"""The quality of an attack's successes, from a finished attack cell, by the real sentence encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kdbench.attacks.encoder import find_encoder
from kdbench.attacks.fingerprints import folder_fingerprint
from kdbench.attacks.likelihood import LanguageModel
from kdbench.cells.job import Job
from kdbench.errors import ModelError
from kdbench.evaluations import quality
from kdbench.locations import Locations
from kdbench.models.locate import locate_model
from kdbench.models.spec import ModelSource
from kdbench.store import Store
from tests.attacks.test_attack_quality import save_model

ENCODER = find_encoder()
ATTACKED = pd.DataFrame(
    {
        "id": ["same", "near", "far", "held", "spent", "wrong"],
        "outcome": ["success", "success", "success", "failed", "exhausted", "skipped"],
        "original": ["the film is good", "the film is good", "the film is good", "a", "b", "c"],
        "perturbed": ["the film is good", "the movie is good", "an elephant drinks water", "x", "y", "z"],
        "words": [4, 4, 4, 1, 1, 1],
        "perturbed_words": [0, 1, 4, 1, 1, 0],
    }
)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    assert ENCODER is not None
    store = Store(tmp_path / "store")
    store.cell("attack").mkdir(parents=True)
    ATTACKED.to_parquet(store.cell("attack") / "examples.parquet")
    spec = {"upstream": {"attack": "attack"}, "encoder": folder_fingerprint(ENCODER), "language_model": None}
    return Job("quality", spec, {}, store, Locations(offline=True), tmp_path, tmp_path, device="cpu")


def test_successes_are_measured_and_nothing_else(job: Job) -> None:
    """A text that was left alone is as similar as can be, a synonym is closer than another sentence."""
    result = quality.run(job)
    table = pd.read_parquet(job.out / "examples.parquet")
    assert list(table.columns) == ["id", "words_changed", "similarity"]
    assert table["id"].tolist() == ["same", "near", "far"]
    same, near, far = table["similarity"]
    assert same == pytest.approx(1, abs=1e-5) and 0.8 < near < 0.999 and far < 0.4
    assert table["words_changed"].tolist() == [0, 0.25, 1]
    assert result.metrics == pytest.approx(
        {"words_changed": 1.25 / 3, "similarity": (same + near + far) / 3, "low_similarity": 1 / 3}
    )
    assert result.details == {"examples": 3}


def test_an_attack_that_never_succeeds_changed_nothing(job: Job) -> None:
    ATTACKED.assign(outcome="failed").to_parquet(job.upstream("attack") / "examples.parquet")
    result = quality.run(job)
    assert result.metrics == {"words_changed": 0.0, "similarity": 1.0, "low_similarity": 0.0}
    assert result.details == {"examples": 0} and len(pd.read_parquet(job.out / "examples.parquet")) == 0


@pytest.mark.parametrize("likelihood", ["causal", "masked"])
def test_perplexity_where_a_language_model_was_asked_for(job: Job, tmp_path: Path, likelihood: str) -> None:
    save_model(tmp_path / "mirror/lab/lm", likelihood)  # type: ignore[arg-type]
    places = Locations(models=(tmp_path / "mirror",), offline=True)
    source = ModelSource(hub="lab/lm")
    view = {"source": {"hub": "lab/lm"}, "likelihood": likelihood}
    view["fingerprint"] = locate_model(source, places).fingerprint
    asked = replace(job, spec={**job.spec, "language_model": view}, locations=places)
    result = quality.run(asked)
    table = pd.read_parquet(job.out / "examples.parquet")
    model = LanguageModel(tmp_path / "mirror/lab/lm", likelihood)  # type: ignore[arg-type]
    for column, texts in (("perplexity", "original"), ("perplexity_perturbed", "perturbed")):
        sums, counts = model.log_likelihoods(ATTACKED[texts][:3].tolist())
        assert table[column].tolist() == pytest.approx(np.exp(-sums / counts).tolist())
    ratios = table["perplexity_perturbed"] / table["perplexity"]
    assert result.metrics["perplexity_ratio"] == pytest.approx(float(np.prod(ratios)) ** (1 / 3)) != 1
    stale = {**view, "fingerprint": "sha256:other"}
    with pytest.raises(ModelError, match="lab/lm: is not the version it was planned with"):
        quality.run(replace(asked, spec={**asked.spec, "language_model": stale}))


def test_another_encoder_than_planned_is_refused(job: Job) -> None:
    with pytest.raises(ModelError, match="the sentence encoder is not here, or not the version that was planned with"):
        quality.run(replace(job, spec={**job.spec, "encoder": "sha256:other"}))
