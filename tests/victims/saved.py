"""Small trained models as other people save them, and the tasks that they are for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForQuestionAnswering,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
)

from kdbench.attacks.encoder import find_encoder
from kdbench.checks.training import QUESTIONS, SENTENCES
from kdbench.inputs.run import logits_of, run
from kdbench.inputs.spans import SpanReader
from kdbench.models.convnet import ConvNet, ConvNetConfig
from kdbench.models.tiny import tiny_config, tiny_tokenizer
from kdbench.tasks.dataset import TextExamples
from kdbench.tasks.questions import to_questions
from kdbench.tasks.spec import Columns, SpanFormat
from tests.attacks.image_cases import digits

MOODS = f"""
name: moods
source: {{files: {{train: {SENTENCES}, test: {SENTENCES}}}}}
splits: {{evaluation: test}}
columns: {{text: text}}
labels: [negative, positive]
max_length: 48
ood:
  - name: other-words
    source: {{files: {{test: {SENTENCES}}}}}
    split: test
    columns: {{text: text}}
    labels: [sad, happy]
    label_map: {{0: sad, 1: happy}}
    prediction_map: {{negative: sad, positive: happy}}
  - name: renamed
    source: {{files: {{test: {SENTENCES}}}}}
    split: test
    columns: {{text: text}}
    label_map: {{0: negative, 1: positive}}
"""
TOWNS = f"""
name: towns
kind: question-answering
source: {{files: {{train: {QUESTIONS}, test: {QUESTIONS}}}}}
splits: {{evaluation: test}}
columns: {{text: question, text_pair: context, label: answers}}
metrics: [token_f1, exact_match]
selection: {{metric: token_f1}}
max_length: 64
spans: {{stride: 8, max_question: 24, max_answer: 12, n_best: 5, unanswerable: true}}
"""
DIGITS = """
name: small-digits
kind: image-classification
source: {files: {train: digits.parquet, test: digits.parquet}}
splits: {evaluation: test}
columns: {image: image}
labels: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
image: {size: 8, channels: 1, mean: [0.3], std: [0.37]}
"""
CLASSES = [str(number) for number in range(10)]


def texts(words: Sequence[str]) -> TextExamples:
    """Examples of one class."""
    return TextExamples([f"{i}" for i in range(len(words))], np.zeros(len(words), np.int64), None, list(words), None)


def classifier() -> tuple[PreTrainedModel, AutoTokenizer]:
    """MiniLM with a head fitted to the sentences, outputs in the order negative, positive."""
    folder = find_encoder()
    if folder is None:
        pytest.skip("the packaged model is missing")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2).eval()
    rows = pd.read_json(SENTENCES, lines=True)
    inputs = tokenizer(rows["text"].tolist(), padding=True, return_tensors="pt")
    with torch.inference_mode():
        pooled = model.bert(**inputs).pooler_output.numpy()
    fitted = LogisticRegression(C=100).fit(pooled, rows["label"])
    with torch.no_grad():
        half = torch.from_numpy(fitted.coef_[0].astype(np.float32)) / 2
        model.classifier.weight.copy_(torch.stack([-half, half]))
        bias = float(fitted.intercept_[0]) / 2
        model.classifier.bias.copy_(torch.tensor([-bias, bias]))
    return model, tokenizer


def save_classifier(folder: Path, names: Sequence[str] | None, *, swapped: bool = False) -> Path:
    """Save it under these names of its outputs, in the other order if ``swapped``."""
    model, tokenizer = classifier()
    if swapped:
        with torch.no_grad():
            for parameter in model.classifier.parameters():
                parameter.copy_(parameter.flip(0))
    if names is not None:
        model.config.id2label = dict(enumerate(names))
        model.config.label2id = {name: index for index, name in enumerate(names)}
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_reader(folder: Path) -> Path:
    """A tiny reader that knows the answers it was trained on."""
    torch.manual_seed(0)
    columns = Columns(text="question", text_pair="context", label="answers")
    table = pd.read_json(QUESTIONS, lines=True)
    examples = to_questions(table, columns, unanswerable=True, where="questions")
    tokenizer = tiny_tokenizer()
    data = SpanReader(tokenizer, 64, SpanFormat(stride=8, max_question=24, unanswerable=True)).encode(examples)
    model = BertForQuestionAnswering(tiny_config(2, 64)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    labels = torch.from_numpy(data.labels)
    for _ in range(30):
        for rows in np.array_split(np.random.default_rng(0).permutation(len(data)), 4):
            inputs = data.collate(rows)
            logits = logits_of(run(model, inputs), inputs)
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits.transpose(1, 2), labels[rows]).backward()
            optimizer.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_network(folder: Path) -> Path:
    """One of kdbench's own networks for digits."""
    torch.manual_seed(0)
    model = ConvNet(ConvNetConfig(depth=8, channels=1, size=8, mean=(0.3,), std=(0.37,), num_labels=10))
    _fit(model, 1.0)
    model.save_pretrained(folder)
    return folder


def save_foreign_network(folder: Path) -> Path:
    """A ResNet of transformers for digits at twice the size, classes in another order, with its image processor."""
    torch.manual_seed(0)
    config = ResNetConfig(
        num_channels=1, embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", num_labels=10
    )
    model = ResNetForImageClassification(config)
    _fit(model, 2.0, mean=0.3, std=0.4)
    with torch.no_grad():
        for parameter in model.classifier.parameters():
            parameter.copy_(parameter.flip(0))
    model.config.id2label = dict(enumerate(reversed(CLASSES)))
    model.save_pretrained(folder)
    settings = {"size": {"height": 16, "width": 16}, "resample": 2, "image_mean": [0.3], "image_std": [0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def write_digits(folder: Path, count: int = 40) -> Path:
    """The task of digits, with its data beside it."""
    images, labels = digits()
    pixels = (images[:count, 0] * 255).round().to(torch.uint8).numpy()
    table = pd.DataFrame({"image": [image.tolist() for image in pixels], "label": labels[:count].numpy()})
    table.to_parquet(folder / "digits.parquet")
    path = folder / "small-digits.yaml"
    path.write_text(DIGITS, encoding="utf-8")
    return path


def _fit(model: nn.Module, scale: float, mean: float = 0.0, std: float = 1.0) -> None:
    images, labels = digits()
    if scale != 1:
        images = nn.functional.interpolate(images, scale_factor=scale, mode="bilinear", antialias=True)
    images = (images - mean) / std
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(80):
        rows = torch.randint(len(images), (128,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pixel_values=images[rows]).logits, labels[rows]).backward()
        optimizer.step()
    model.eval()
