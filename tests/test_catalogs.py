"""The shipped tasks and pairs: every file loads, and its labels mean what the real rows say."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from kdbench.models.spec import PAIRS, PairSpec
from kdbench.tasks.questions import to_questions
from kdbench.tasks.spec import TASKS, DatasetSpec, TaskSpec

MIRROR = Path(os.environ.get("KDBENCH_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
PIN = re.compile(r"[0-9a-f]{40}|refs/convert/parquet")
UNPINNED = {None, "google/bert_uncased_L-4_H-512_A-8", "XiangPan/CIFAR10.1"}
SELF = {"minilm-l2-l2"}  # the capacity-gap study begins with a teacher of the student's size
NEIGHBOURS = {*SELF, "minilm-l3-l2", "bert-base-small", "resnet14-resnet8"}  # nothing lies between the two
DROPPED = {("sst2", "tweets"): {1}, ("mnli", "snli"): {-1}}  # on purpose: neutral; no gold label
ABSENT = {("cifar10", "tinyimagenet-shift"): {"airplane", "deer", "horse"}}

# Task, dataset, start of the first text, start of the second one, class: judged by reading the row.
ROWS = [
    ("cola", "cola", "The teacher became.", "", "unacceptable"),
    ("sst2", "sst2", "it 's a charming and often affecting journey", "", "positive"),
    ("sst2", "imdb-original", "Have I ever seen a film more shockingly inept?", "", "negative"),
    ("sst2", "imdb-revised", "i thought this movie was really really terrible!", "", "negative"),
    ("sst2", "imdb-contrast", "Apathetic; Crudely directed", "", "negative"),
    ("sst2", "amazon-books", "200 Pages of Total Immersion Italian", "", "negative"),
    ("sst2", "amazon-dvd", "Best show on TV", "", "positive"),
    ("sst2", "amazon-electronics", "Does NOT work with my Creative ZEN", "", "negative"),
    ("sst2", "amazon-kitchen", "A Big Fat Joke  and  A Waste Of Money", "", "negative"),
    ("sst2", "tweets", "#Hatchimals are shite", "", "negative"),
    ("sst2", "adv-glue", "this one is ok one to skip , even for horror", "", "negative"),
    ("mrpc", "mrpc", "", "Around the same time, hospital officials in and near", "equivalent"),
    ("qqp", "qqp", "Why are people now so self centered?", "Why are some people so", "duplicate"),
    ("qqp", "adv-glue", "How do I buy utilised car", "Which used car should I buy", "not_duplicate"),
    ("qnli", "qnli", "How many times has Polonia won the cup?", "They also won", "entailment"),
    ("qnli", "adv-glue", "What portion of Berlin's quartet spoke French", "By 1700", "entailment"),
    ("rte", "rte", "", "The Israel-Egypt Peace Agreement was signed in 1979.", "entailment"),
    ("rte", "hans", "The professor read the report", "The professor read .", "entailment"),
    ("rte", "scitail", "", "Kinetic energy is the energy of motion.", "entailment"),
    (
        "rte",
        "fever-symmetric",
        "In 2018 , she signed",
        "Halsey did not sign her first recording contract in 2018",
        "refutes",
    ),
    ("rte", "adv-glue", "The San Diego Padres ace", "The San Diego Padres won", "not_entailment"),
    ("wnli", "wnli", "The drain is clogged with hair.", "The hair has to be cleaned.", "not_entailment"),
    ("mnli", "mnli", "Jon drew it out and stabbed", "Jon stabbed the man's throat", "entailment"),
    ("mnli", "mnli", "", "The damage to the stock market can get much worse when", "neutral"),
    ("mnli", "mnli-mismatched", "", "Poetry is something that I absolutely adore.", "contradiction"),
    ("mnli", "hans", "If the athletes waited , the", "The athletes waited .", "non-entailment"),
    ("mnli", "anli-r1", "", "There are only 10 larger football stadiums in Europe.", "entailment"),
    ("mnli", "anli-r2", "", "Public Domain Day always happens on January 1st.", "contradiction"),
    ("mnli", "anli-r3", "", "The owners brush their hair", "neutral"),
    ("mnli", "snli", "A woman with a green headscarf", "The woman is young.", "neutral"),
    ("mnli", "scitail", "Another substitution reaction for benzene", "Replace another in a", "neutral"),
    ("mnli", "fever-symmetric", "Daag : A Poem of Love is a", "Daag is a painting", "supports"),
    ("mnli", "adv-glue", "", "Those shares of inventories will never come back .", "entailment"),
]


def _datasets(task: TaskSpec) -> list[DatasetSpec]:
    train = task.evaluation_dataset().model_copy(update={"name": f"{task.name}-train", "split": task.splits.train})
    return [train, task.evaluation_dataset(), *task.ood]


DATASETS = [(name, data.name) for name in TASKS.names() for data in _datasets(TASKS.get(name))]


def _load(task: str, dataset: str) -> tuple[TaskSpec, DatasetSpec, pd.DataFrame]:
    """Task, dataset and the rows of the mirror; skips when the mirror lacks the file."""
    spec = TASKS.get(task)
    data = next(item for item in _datasets(spec) if item.name == dataset)
    path = MIRROR / f"{data.source.folder}/{data.split}.parquet"
    if not path.is_file():
        pytest.skip(f"no {path}: the mirror (KDBENCH_DATA) does not have this dataset")
    return spec, data, pd.read_parquet(path)


@pytest.mark.parametrize("name", TASKS.names())
def test_task_is_consistent(name: str) -> None:
    """The file is named after the task, its metrics exist, hub data is pinned, predictions collapse right."""
    task = TASKS.get(name)
    assert task.name == name and task.description and task.cite
    assert task.selection.metric == task.metrics[0]
    if task.attack_kind == "text":  # image sets have indices in the order of the logits
        assert tuple(task.label_map.values()) == task.labels  # raw 0, 1, ... in the order of the logits
    for data in _datasets(task):
        assert data.source.hub in UNPINNED or PIN.fullmatch(data.source.revision)
        for mine, theirs in data.prediction_map.items():
            assert (mine == "entailment") == (theirs in {"entailment", "supports"}), (data.name, mine, theirs)


@pytest.mark.parametrize(("task", "dataset"), DATASETS)
def test_dataset_has_columns_and_classes(task: str, dataset: str) -> None:
    """All columns exist; every raw label is mapped or dropped on purpose; every class occurs."""
    spec, data, rows = _load(task, dataset)
    columns = {value for value in data.columns.model_dump().values() if value}
    assert columns <= set(rows.columns)
    assert not rows[sorted(columns)].isna().any().any()
    raw = rows[data.columns.label]
    if spec.spans:
        found = to_questions(rows, data.columns, unanswerable=spec.spans.unanswerable, where=data.name)
        assert len(found) == len(rows)
        assert (0 in found.labels) == (spec.spans.unanswerable and data.name.startswith("squad_v2"))
        for context, texts, starts in zip(found.pairs or [], found.answers, found.answer_starts, strict=True):
            assert all(context.startswith(text, start) for text, start in zip(texts, starts, strict=True))
        return
    if spec.kind == "text-regression":
        assert pd.api.types.is_float_dtype(raw) and raw.std() > 0.5
        return
    names = data.label_map or dict(enumerate(data.labels or spec.labels))
    assert set(raw.tolist()) - set(names) <= DROPPED.get((task, dataset), set())
    gold = raw[raw.isin(list(names))].map(names)
    assert len(gold) >= 0.3 * len(rows)
    assert set(gold) == set(data.labels or spec.labels) - ABSENT.get((task, dataset), set())


@pytest.mark.parametrize(("task", "dataset", "text", "pair", "expected"), ROWS)
def test_label_means_what_the_row_says(task: str, dataset: str, text: str, pair: str, expected: str) -> None:
    """A row whose class is plain to a reader has that class."""
    _, data, rows = _load(task, dataset)
    found = rows[rows[data.columns.text].str.startswith(text)]
    if pair:
        found = found[found[data.columns.text_pair].str.startswith(pair)]
    if found.empty:
        pytest.skip(f"{MIRROR} holds another copy of {data.source.folder}, without this row")
    assert set(found[data.columns.label].map(data.label_map)) == {expected}


def test_stsb_scores_rise_with_similarity() -> None:
    """Shared words and score go together, so the label is similarity and not distance."""
    _, data, rows = _load("stsb", "stsb")
    pairs = zip(rows[data.columns.text], rows[str(data.columns.text_pair)], strict=True)
    words = [(set(first.lower().split()), set(second.lower().split())) for first, second in pairs]
    overlap = pd.Series([len(first & second) / len(first | second) for first, second in words])
    assert overlap.corr(rows[data.columns.label], method="spearman") > 0.4


@pytest.mark.parametrize("name", PAIRS.names())
def test_pair_shrinks_from_teacher_to_student(name: str) -> None:
    """Sizes fall from teacher over assistants to student, names differ, layers are in order."""
    pair: PairSpec = PAIRS.get(name)
    assert pair.name == name and pair.description
    sizes = [model.parameters for model in (pair.teacher, *pair.assistants, pair.student)]
    assert min(sizes) > 0 and sizes == sorted(sizes if name in SELF else set(sizes), reverse=True)
    assert bool(pair.assistants) == (name not in NEIGHBOURS)
    if pair.kind == "text":
        assert pair.generator and pair.generator.parameters > 0
    assert len({model.name for model in pair.models()}) == len(pair.models()) - (name in SELF)
    for model in pair.models():
        assert PIN.fullmatch(model.source.revision) or model.source.hub in UNPINNED
        assert model.layers is None or list(model.layers) == sorted(set(model.layers))


@pytest.mark.parametrize("name", [name for name in PAIRS.names() if PAIRS.get(name).teacher.source.package])
def test_packaged_weights_are_the_named_ones(name: str) -> None:
    """The package holds the file with the named checksum and every layer that the pair keeps."""
    pair = PAIRS.get(name)
    found = importlib.util.find_spec(str(pair.teacher.source.package))
    if found is None or found.origin is None:
        pytest.skip(f"not installed: {pair.teacher.source.distribution}")
    folder = Path(found.origin).parent / pair.teacher.source.path
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    depth = json.loads((folder / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"]
    for model in pair.models():
        assert model.source.sha256 == digest
        assert max(model.layers or (0,)) < depth
