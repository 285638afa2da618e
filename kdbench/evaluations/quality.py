"""The ``quality`` evaluation: how far the texts of successful attacks are from their originals."""

from __future__ import annotations

import pandas as pd

from kdbench.attacks.encoder import SentenceEncoder, find_encoder, load_encoder
from kdbench.attacks.fingerprints import folder_fingerprint
from kdbench.attacks.likelihood import LanguageModel
from kdbench.attacks.quality import cosine, perplexity, share_of_words_changed, summarize_quality
from kdbench.cells.common import pick_device
from kdbench.cells.job import CellResult, Job
from kdbench.errors import ModelError
from kdbench.hashing import file_digest
from kdbench.models.locate import locate_model
from kdbench.models.spec import ModelSource
from kdbench.record import EXAMPLES_FILE


def run(job: Job) -> CellResult:
    """Words changed, sentence similarity and, where a language model was asked for, perplexity of the successes.

    ``examples.parquet`` has one row for each success: ``id``, ``words_changed``, ``similarity`` and, with a language
    model, ``perplexity`` and ``perplexity_perturbed``. Similarity is the cosine of the embeddings of all-MiniLM-L6-v2;
    of pairs and questions, only the text that was perturbed is looked at.
    """
    attacked = pd.read_parquet(job.upstream("attack") / EXAMPLES_FILE)
    found = attacked[attacked["outcome"] == "success"]
    original, perturbed = found["original"].tolist(), found["perturbed"].tolist()
    encoder = _encoder(job)
    table = pd.DataFrame(
        {
            "id": found["id"].to_numpy(),
            "words_changed": share_of_words_changed(found["words"].to_numpy(), found["perturbed_words"].to_numpy()),
            "similarity": cosine(encoder.embed(original), encoder.embed(perturbed)),
        }
    )
    if job.spec["language_model"]:
        model = _language_model(job)
        table["perplexity"] = perplexity(*model.log_likelihoods(original))
        table["perplexity_perturbed"] = perplexity(*model.log_likelihoods(perturbed))
    table.to_parquet(job.out / EXAMPLES_FILE)
    return judge(table)


def judge(table: pd.DataFrame) -> CellResult:
    """The metrics of what :func:`run` leaves, by :func:`kdbench.attacks.quality.summarize_quality`."""
    ratio = (table["perplexity_perturbed"] / table["perplexity"]).to_numpy() if "perplexity" in table else None
    metrics = summarize_quality(table["words_changed"].to_numpy(), table["similarity"].to_numpy(), ratio)
    return CellResult(metrics, {"examples": len(table)})


def _encoder(job: Job) -> SentenceEncoder:
    folder = find_encoder(job.locations.models, job.locations.assets())
    if folder is None or folder_fingerprint(folder) != job.spec["encoder"]:
        raise ModelError("the sentence encoder is not here, or not the version that was planned with: run again")
    return load_encoder(folder, pick_device(job))


def _language_model(job: Job) -> LanguageModel:
    view = job.spec["language_model"]
    source = ModelSource.model_validate(view["source"])
    located = locate_model(source, job.locations)
    if located.missing:
        raise ModelError(located.missing)
    if located.fingerprint != view["fingerprint"]:
        raise ModelError(f"{source.title}: is not the version it was planned with: run again")
    where = located.path or source.title
    if located.path and source.sha256 and file_digest(located.path / "model.safetensors") != source.sha256:
        raise ModelError(f"{located.path / 'model.safetensors'}: is not the pinned file")
    return LanguageModel(where, view["likelihood"], revision=source.revision, device=pick_device(job))
