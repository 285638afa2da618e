"""Attack and transfer cells on a small trained network: what they leave, and that replaying it gives the same."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from kdbench.attacks.spec import AttackSpec
from kdbench.cells.data import load_trained
from kdbench.cells.job import Job
from kdbench.errors import DataError
from kdbench.evaluations import attack, transfer
from kdbench.hashing import digest, file_digest
from kdbench.locations import Locations
from kdbench.models.convnet import ConvNet, ConvNetConfig
from kdbench.store import Store
from tests.attacks.image_cases import digits

COUNT, SAMPLE = 60, 40
CLASSES = [str(number) for number in range(10)]
TASK = {
    "kind": "image-classification",
    "labels": CLASSES,
    "image": {"size": 8, "channels": 1, "mean": [0.3], "std": [0.37]},
}
ATTACK = AttackSpec(
    name="small",
    kind="image",
    norm="Linf",
    epsilon=0.08,
    members=[{"algorithm": "fgsm"}, {"algorithm": "apgd-ce", "steps": 5}],
)


def train(seed: int) -> ConvNet:
    torch.manual_seed(seed)
    model = ConvNet(ConvNetConfig(depth=8, channels=1, size=8, mean=(0.3,), std=(0.37,), num_labels=10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    images, labels = digits()
    for _ in range(40):
        rows = torch.randint(len(images), (128,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[rows]).logits, labels[rows]).backward()
        optimizer.step()
    return model.eval()


@dataclasses.dataclass
class Lab:
    """A store with two trained models, and a data file."""

    store: Store
    data: Path
    models: dict[str, ConvNet]

    def job(self, evaluation: str, upstream: dict[str, str], **changes: Any) -> Job:
        fingerprint = f"sha256:{file_digest(self.data)}"
        dataset = {
            "source": {},
            "split": "test",
            "fingerprint": fingerprint,
            "columns": {"image": "image", "label": "label"},
            "labels": [],
            "label_map": [],
            "prediction_map": {},
        }
        spec = {
            "kind": "evaluation",
            "evaluation": evaluation,
            "upstream": upstream,
            "task": TASK,
            "dataset": dataset,
            "attack": ATTACK.model_dump(mode="json"),
            "attack_version": "small/1",
            "examples": SAMPLE,
            "seed": 3,
            **changes,
        }
        key = digest(spec)
        out = self.store.cell(key)
        out.mkdir(parents=True, exist_ok=True)
        paths = {fingerprint: str(self.data)}
        return Job(key, spec, paths, self.store, Locations(), out, self.store.work(key), device="cpu")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("lab")
    images, labels = digits()
    files = []
    for image in (images[:COUNT, 0] * 255).round().byte().numpy():
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, format="PNG")
        files.append({"bytes": stream.getvalue()})
    data = folder / "test.parquet"
    pd.DataFrame({"image": files, "label": labels[:COUNT].numpy()}).to_parquet(data)
    store = Store(folder / "store")
    models = {"teacher": train(0), "student": train(1)}
    for name, model in models.items():
        model.save_pretrained(store.cell(name) / "model")
    return Lab(store, data, models)


@pytest.fixture(scope="module")
def attacked(lab: Lab) -> dict[str, Job]:
    jobs = {name: lab.job("attack", {"model": name}) for name in lab.models}
    for job in jobs.values():
        object.__setattr__(job, "result", attack.run(job))
    return jobs


def test_the_cell_keeps_every_example(lab: Lab, attacked: dict[str, Job]) -> None:
    job = attacked["student"]
    result, table = job.result, pd.read_parquet(job.out / "examples.parquet")
    images = load_file(job.out / "adversarial.safetensors")["images"]
    assert len(table) == len(images) == result.details["examples"] == SAMPLE and table["id"].is_unique
    assert images.dtype == torch.float32
    model, _ = load_trained(job)
    with torch.no_grad():
        classes = model(pixel_values=images).logits.argmax(-1).numpy()
    np.testing.assert_array_equal(table["adversarial"], classes)
    assert result.metrics["accuracy_under_attack"] == (classes == table["label"]).mean()
    assert result.metrics["accuracy_under_attack"] == (table["outcome"] == "failed").mean()
    assert result.metrics["clean_accuracy"] == (table["predicted"] == table["label"]).mean()
    assert 0 < result.metrics["accuracy_under_attack"] < result.metrics["clean_accuracy"]
    assert result.details["attack_version"] == "small/1"
    assert result.details["accuracy_after"]["apgd-ce"] == result.metrics["accuracy_under_attack"]
    assert set(table.loc[table["outcome"] == "success", "broken_by"]) <= {"fgsm", "apgd-ce"}
    assert table["norm"].max() <= 0.08 * (1 + 1e-6)
    assert result.cost == {"queries": table["queries"].sum(), "gradients": table["gradients"].sum()}
    assert result.flags == ()


def test_every_model_is_attacked_on_the_same_sample(lab: Lab, attacked: dict[str, Job]) -> None:
    first, second = (pd.read_parquet(attacked[name].out / "examples.parquet") for name in lab.models)
    assert first["id"].tolist() == second["id"].tolist()
    again = lab.job("attack", {"model": "student"}, note="a cell of its own")
    assert attack.run(again) == attacked["student"].result
    files = ("adversarial.safetensors", "examples.parquet")
    assert all((again.out / file).read_bytes() == (attacked["student"].out / file).read_bytes() for file in files)
    other = lab.job("attack", {"model": "student"}, seed=4)
    attack.run(other)
    assert pd.read_parquet(other.out / "examples.parquet")["id"].tolist() != first["id"].tolist()


def test_an_interrupted_cell_goes_on_to_the_same_bytes(lab: Lab) -> None:
    settings = {"epsilon": 0.08, "epsilons": [0.04, 0.08]}
    changes = {"attack": {**ATTACK.model_dump(mode="json"), **settings}}
    jobs = [lab.job("attack", {"model": "student"}, note=note, **changes) for note in ("whole", "interrupted")]
    expected = attack.run(jobs[0])

    def stop(report: dict[str, Any]) -> None:
        if report["stage"].endswith("apgd-ce"):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        attack.run(dataclasses.replace(jobs[1], report=stop))
    assert (jobs[1].work / "attack.safetensors").is_file() and not (jobs[1].out / "examples.parquet").exists()
    assert attack.run(jobs[1]) == expected
    for file in ("adversarial.safetensors", "examples.parquet"):
        assert (jobs[0].out / file).read_bytes() == (jobs[1].out / file).read_bytes()
    table = pd.read_parquet(jobs[0].out / "examples.parquet")
    kept = [[radius, (table["broken_at"] > radius).mean()] for radius in (0, 0.04, 0.08)]
    assert expected.details["security_curve"] == kept and kept[0][1] > kept[1][1] > kept[2][1]
    assert kept[2][1] == expected.metrics["accuracy_under_attack"]
    assert expected.measured == {"batch_size": 128}


def test_transfer_replays_the_teacher_s_images(lab: Lab, attacked: dict[str, Job]) -> None:
    source, own = attacked["teacher"], attacked["student"]
    job = lab.job("transfer", {"model": "student", "source": source.key, "own": own.key})
    result = transfer.run(job)
    images = load_file(source.out / "adversarial.safetensors")["images"]
    table, before = pd.read_parquet(job.out / "examples.parquet"), pd.read_parquet(source.out / "examples.parquet")
    with torch.no_grad():
        classes = lab.models["student"](images).logits.argmax(-1).numpy()
    np.testing.assert_array_equal(table["adversarial"], classes)
    assert table["id"].tolist() == before["id"].tolist() and (table["source"] == before["outcome"]).all()
    assert result.metrics["accuracy_under_transfer"] == (classes == before["label"]).mean()
    assert result.metrics["accuracy_under_transfer"] > own.result.metrics["accuracy_under_attack"]
    assert result.flags == ()


def test_transfer_to_the_teacher_itself_is_its_own_attack(lab: Lab, attacked: dict[str, Job]) -> None:
    source = attacked["teacher"]
    job = lab.job("transfer", {"model": "teacher", "source": source.key, "own": source.key})
    result = transfer.run(job)
    assert result.metrics["accuracy_under_transfer"] == source.result.metrics["accuracy_under_attack"]
    assert result.metrics["transfer_rate"] == 1 and result.flags == ()


def test_a_weak_attack_of_its_own_is_exposed_by_transfer(lab: Lab, attacked: dict[str, Job]) -> None:
    """The same weights in a much smaller ball: what was found in the large one breaks more."""
    source = attacked["teacher"]
    own = lab.job("attack", {"model": "teacher"}, attack={**ATTACK.model_dump(mode="json"), "epsilon": 0.001})
    weak = attack.run(own)
    job = lab.job("transfer", {"model": "teacher", "source": source.key, "own": own.key})
    (flag,) = transfer.run(job).flags
    assert flag.startswith("transfer-beats-white-box: right on ")
    assert f"on {weak.metrics['accuracy_under_attack']:.1%} of its own (40 examples)" in flag


def test_the_flag_waits_for_more_than_noise() -> None:
    own = np.ones(40, dtype=bool)
    for fewer, flagged in [(0, False), (7, False), (8, True), (40, True)]:
        right = own.copy()
        right[:fewer] = False
        assert bool(transfer.compare(right, own)) == flagged
        assert transfer.compare(own, right) == ()


def test_other_examples_are_refused(lab: Lab, attacked: dict[str, Job]) -> None:
    upstream = {"model": "student", "source": attacked["teacher"].key, "own": attacked["student"].key}
    with pytest.raises(DataError, match="holds other examples than were sampled"):
        transfer.run(lab.job("transfer", upstream, seed=9))


def test_texts_are_replayed_from_the_column_that_was_perturbed(tmp_path: Path) -> None:
    from kdbench.models.tiny import tiny_config, tiny_tokenizer

    texts = [f"{word} movie {number}" for number in range(8) for word in ("good", "bad", "this")]
    data = tmp_path / "test.csv"
    pd.DataFrame({"text": texts, "label": [0, 1, 1] * 8}).to_csv(data, index=False)
    store = Store(tmp_path / "store")
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(tiny_config(1, 16), attn_implementation="eager").eval()
    with torch.no_grad():
        model.classifier.weight.mul_(50)
    model.save_pretrained(store.cell("student") / "model")
    tiny_tokenizer().save_pretrained(store.cell("student") / "model")
    job = Lab(store, data, {}).job(
        "transfer",
        {"model": "student", "source": "source", "own": "own"},
        task={"kind": "text-classification", "labels": ["a", "b"], "max_length": 32},
        perturb="text",
        attack={"kind": "text"},
    )
    job.spec["dataset"]["columns"] = {"text": "text", "label": "label"}
    from kdbench.cells.data import load_examples

    examples = load_examples(job, job.spec["dataset"], job.spec["task"])
    perturbed = [text.replace("movie", "terrible film of no good") for text in examples.texts]
    outcomes = {"source": ["success"] * 12 + ["failed"] * 12, "own": ["failed"] * 24}
    for name, outcome in outcomes.items():
        store.cell(name).mkdir(parents=True)
        table = pd.DataFrame({"id": examples.ids, "outcome": outcome, "perturbed": perturbed})
        table.to_parquet(store.cell(name) / "examples.parquet")
    result = transfer.run(job)
    tokens = tiny_tokenizer()([*perturbed], return_tensors="pt", padding=True)
    with torch.no_grad():
        expected = model(**tokens).logits.argmax(-1).numpy()
    found = pd.read_parquet(job.out / "examples.parquet")
    np.testing.assert_array_equal(found["adversarial"], expected)
    assert 0 < result.metrics["accuracy_under_transfer"] == (expected == examples.labels).mean() < 1
