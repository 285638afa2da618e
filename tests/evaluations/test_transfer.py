"""What is kept of replayed examples, by hand, and replays on small models of texts and of questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification

from kdbench.answers.metrics import token_f1
from kdbench.cells.data import load_examples
from kdbench.cells.job import Job
from kdbench.checks.training import QUESTIONS
from kdbench.evaluations import transfer
from kdbench.evaluations.attacked import attacked_examples
from kdbench.evaluations.transfer import judge
from kdbench.hashing import file_digest
from kdbench.locations import Locations
from kdbench.models.tiny import tiny_config, tiny_tokenizer
from kdbench.store import Store

HELD = pd.Series(["failed", "exhausted", "failed", "skipped"])


def test_an_example_is_kept_by_the_union_only_in_both_versions() -> None:
    """By hand: right on the teacher's 1, 2; right on finetune's 0, 2."""
    table = pd.DataFrame({"label": [0, 1, 1, 0]})
    table["source"], table["adversarial"] = ["success", "success", "failed", "skipped"], [1, 1, 1, 1]
    alone = judge(table, HELD)
    assert alone.metrics == {"accuracy_under_transfer": 0.5, "transfer_rate": 0.5}
    assert alone.details == {"examples": 4, "broken_at_source": 2} and alone.cost == {"forward_examples": 4}
    table["baseline"] = ["failed", "success", "success", "success"]
    table["adversarial_finetune"] = [0, 0, 1, 1]
    both = judge(table, HELD)
    assert both.metrics == {
        "accuracy_under_transfer": 0.5,
        "transfer_rate": 0.5,
        "accuracy_under_transfer_finetune": 0.5,
        "transfer_rate_finetune": 2 / 3,
        "accuracy_under_union": 0.25,
    }
    assert both.details == {"examples": 4, "broken_at_source": 2, "broken_at_baseline": 3}
    assert both.cost == {"forward_examples": 8} and both.flags == ()


def test_of_answers_the_worse_version_counts() -> None:
    """F1 of 0.5 is not below a goal of 0.5."""
    table = pd.DataFrame({"label": 1, "source": ["success"] * 3, "f1": [0.5, 0.2, 1.0]})
    table = table.assign(baseline="success", f1_finetune=[0.4, 0.9, 1.0])
    found = judge(table, pd.Series(["failed"] * 3), f1_below=0.5)
    assert found.metrics == pytest.approx(
        {
            "f1_under_transfer": 1.7 / 3,
            "transfer_rate": 1 / 3,
            "f1_under_transfer_finetune": 2.3 / 3,
            "transfer_rate_finetune": 1 / 3,
            "f1_under_union": (0.4 + 0.2 + 1.0) / 3,
        }
    )


def test_either_source_exposes_an_attack_that_is_too_weak() -> None:
    """Exhausted searches are right examples, too: eight fewer of forty are enough, seven are not."""
    table = pd.DataFrame({"label": [0] * 40, "source": "success", "adversarial": 0})
    table = table.assign(baseline="success", adversarial_finetune=[1] * 8 + [0] * 32)
    own = pd.Series(["failed", "exhausted"] * 20)
    (flag,) = judge(table, own).flags
    assert flag == (
        "transfer-beats-white-box: right on 80.0% of the finetune student's adversarial examples, on 100.0% of its "
        "own (40 examples)"
    )
    (flag,) = judge(table.assign(adversarial=table["adversarial_finetune"], adversarial_finetune=0), own).flags
    assert "80.0% of the teacher's adversarial examples" in flag
    assert judge(table.assign(adversarial_finetune=[1] * 7 + [0] * 33), own).flags == ()


def make_job(folder: Path, data: Path, columns: dict[str, str], **spec: Any) -> Job:
    """A replay on the model in cell ``student`` of what cells ``source`` and ``baseline`` found."""
    store, fingerprint = Store(folder / "store"), f"sha256:{file_digest(data)}"
    dataset: dict[str, Any] = {"source": {}, "split": "test", "fingerprint": fingerprint, "columns": columns}
    dataset |= {"labels": [], "label_map": [], "prediction_map": {}}
    upstream = {"model": "student", "source": "source", "own": "own", "baseline": "baseline"}
    whole = {"evaluation": "transfer", "dataset": dataset, "upstream": upstream, "examples": 20, "seed": 3, **spec}
    out = store.cell("transfer")
    out.mkdir(parents=True)
    return Job("transfer", whole, {fingerprint: str(data)}, store, Locations(), out, out, device="cpu")


def save_student(store: Store, factory: Any, **config: Any) -> Any:
    torch.manual_seed(0)
    model = factory.from_config(tiny_config(1, 16), attn_implementation="eager", **config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(30)  # so that outputs differ from text to text
    model.save_pretrained(store.cell("student") / "model")
    tiny_tokenizer().save_pretrained(store.cell("student") / "model")
    return model


def write_attack(store: Store, name: str, ids: list[str], outcome: str, perturbed: list[str]) -> None:
    store.cell(name).mkdir(parents=True)
    table = pd.DataFrame({"id": ids, "outcome": outcome, "perturbed": perturbed})
    table.to_parquet(store.cell(name) / "examples.parquet")


def test_texts_of_both_sources_are_read_by_the_student(tmp_path: Path) -> None:
    data = tmp_path / "test.csv"
    words = [word for word in ("good", "bad", "this") for _ in range(8)]
    texts = [f"{word} movie {number}" for number, word in enumerate(words)]
    pd.DataFrame({"text": texts, "label": [0, 1, 1] * 8}).to_csv(data, index=False)
    task = {"kind": "text-classification", "labels": ["a", "b"], "max_length": 32}
    columns = {"text": "text", "label": "label"}
    job = make_job(tmp_path, data, columns, task=task, perturb="text", attack={"kind": "text", "f1_below": None})
    model = save_student(job.store, AutoModelForSequenceClassification)
    examples = attacked_examples(job)
    assert len(examples) == 20 < len(load_examples(job, job.spec["dataset"], task))
    found = {
        "source": [text.replace("movie", "terrible film of no good") for text in examples.texts],
        "baseline": [text.replace("movie", "film") for text in examples.texts],
        "own": examples.texts,
    }
    for name, perturbed in found.items():
        write_attack(job.store, name, examples.ids, "success", perturbed)
    result = transfer.run(job)
    table = pd.read_parquet(job.out / "examples.parquet")
    expected = {}
    for role in ("source", "baseline"):
        with torch.no_grad():
            logits = model(**tiny_tokenizer()(found[role], return_tensors="pt", padding=True)).logits
        expected[role] = logits.argmax(-1).numpy()
    np.testing.assert_array_equal(table["adversarial"], expected["source"])
    np.testing.assert_array_equal(table["adversarial_finetune"], expected["baseline"])
    assert (expected["source"] != expected["baseline"]).any()
    right = [expected[role] == examples.labels for role in ("source", "baseline")]
    assert result.metrics["accuracy_under_transfer"] == right[0].mean()
    assert result.metrics["accuracy_under_transfer_finetune"] == right[1].mean()
    assert result.metrics["accuracy_under_union"] == (right[0] & right[1]).mean() > 0


def test_answers_keep_their_f1(tmp_path: Path) -> None:
    """So that their numbers can be computed again."""
    spans = {"stride": 8, "max_question": 24, "max_answer": 12, "n_best": 5, "unanswerable": True}
    spans |= {"null_threshold": 0.0}
    task = {"kind": "question-answering", "labels": [], "max_length": 64, "spans": spans}
    columns = {"text": "question", "text_pair": "context", "label": "answers"}
    job = make_job(tmp_path, QUESTIONS, columns, task=task, attack={"kind": "question", "f1_below": 0.5})
    save_student(job.store, AutoModelForQuestionAnswering)
    examples: Any = attacked_examples(job)
    for name, edit in (("source", "x"), ("baseline", "of the movie"), ("own", "")):
        write_attack(job.store, name, examples.ids, "success", [f"{text} {edit}" for text in examples.texts])
    result = transfer.run(job)
    table = pd.read_parquet(job.out / "examples.parquet")
    for suffix in ("", "_finetune"):
        scores = [
            max(token_f1(answer, (reference,)) for reference in references)
            for answer, references in zip(table[f"adversarial{suffix}"], examples.answers, strict=True)
        ]
        assert table[f"f1{suffix}"].tolist() == pytest.approx(scores)
    assert result.metrics["f1_under_union"] == np.minimum(table["f1"], table["f1_finetune"]).mean()
    assert result == judge(table, pd.Series(["success"] * len(table)), 0.5)
