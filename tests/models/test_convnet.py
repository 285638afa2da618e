"""Image networks: the architectures of the papers, weights trained elsewhere, and pixels as their only input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import ValidationError
from safetensors.torch import load_file

from kdbench.inputs.images import ImageReader
from kdbench.locations import Locations
from kdbench.models.build import Head, build_model, load_model
from kdbench.models.convnet import ConvNet, ConvNetConfig
from kdbench.models.spec import PAIRS, ModelSource, ModelSpec, NetSpec
from kdbench.tasks.dataset import ImageExamples, to_examples
from kdbench.tasks.spec import TASKS, Columns, ImageFormat
from kdbench.training.predict import predict
from tests.conftest import MIRROR

TRAINED = MIRROR.parent / "models"
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
FORM = ImageFormat(size=32, channels=3, **IMAGENET)
NOWHERE = Locations(offline=True)
IMAGE_MODELS = {m.name: m for name in PAIRS.names() for m in PAIRS.get(name).models() if m.source.net is not None}


def _count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _built(net: NetSpec, outputs: int = 10, *, seed: int = 1, form: ImageFormat = FORM) -> Any:
    spec = ModelSpec(name="m", source=ModelSource(net=net))
    return build_model(spec, Head("image-classification", outputs, form), NOWHERE, seed=seed)


# --- architectures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "classes", "parameters"),
    [
        # He et al., CVPR 2016, table 6, with ten classes
        ({"family": "resnet", "depth": 20}, 10, 0.27e6),
        ({"family": "resnet", "depth": 32}, 10, 0.46e6),
        ({"family": "resnet", "depth": 44}, 10, 0.66e6),
        ({"family": "resnet", "depth": 56}, 10, 0.85e6),
        ({"family": "resnet", "depth": 110}, 10, 1.73e6),
        # RepDistiller (Tian et al., ICLR 2020), with a hundred
        ({"family": "wrn", "depth": 40, "width": 2}, 100, 2.26e6),
        ({"family": "wrn", "depth": 16, "width": 2}, 100, 0.70e6),
        ({"family": "resnet", "depth": 32, "width": 4, "shortcut": "B"}, 100, 7.43e6),
        ({"family": "resnet", "depth": 8, "width": 4, "shortcut": "B"}, 100, 1.23e6),
        ({"family": "vgg", "depth": 13}, 100, 9.46e6),
        ({"family": "vgg", "depth": 8}, 100, 3.97e6),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_sizes_are_those_of_the_papers(net: dict[str, Any], classes: int, parameters: float) -> None:
    """To the digits that they print."""
    assert round(_count(_built(NetSpec(**net), classes)) / 1e6, 2) == round(parameters / 1e6, 2)


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_catalogued_sizes_are_true(name: str) -> None:
    """What plans estimate costs with; the head and the stem differ with the task by a few per cent."""
    spec = IMAGE_MODELS[name]
    assert spec.source.net is not None
    assert _count(_built(spec.source.net, 10)) == pytest.approx(spec.parameters, rel=0.05)


@pytest.mark.parametrize(
    ("family", "depth"), [("resnet", 21), ("resnet", 18), ("wrn", 20), ("wrn", 17), ("vgg", 16), ("vgg", 9)]
)
def test_depths_that_do_not_exist(family: Any, depth: int) -> None:
    """The message says which do."""
    with pytest.raises(ValidationError, match=rf"there is no {family} of {depth} layers: depth is "):
        NetSpec(family=family, depth=depth)


@pytest.mark.parametrize(
    ("net", "shapes"),
    [
        ({"family": "resnet", "depth": 8}, [(16, 32), (16, 32), (32, 16), (64, 8), (64,)]),
        ({"family": "resnet", "depth": 8, "width": 4}, [(32, 32), (64, 32), (128, 16), (256, 8), (256,)]),
        ({"family": "wrn", "depth": 16, "width": 2}, [(16, 32), (32, 32), (64, 16), (128, 8), (128,)]),
        ({"family": "vgg", "depth": 8}, [(64, 32), (128, 16), (256, 8), (512, 4), (512, 4), (512,)]),
    ],
    ids=["resnet", "resnet x4", "wrn", "vgg"],
)  # fmt: skip
def test_hidden_states_are_stem_stages_and_pooled_features(net: dict[str, Any], shapes: list[tuple[int, ...]]) -> None:
    """Of which the last ones make the logits; nothing of it unless asked for."""
    model = _built(NetSpec(**net)).eval()
    pixels = torch.rand(2, 3, 32, 32)
    found = model(pixel_values=pixels, output_hidden_states=True)
    expected = [(2, *shape) if len(shape) == 1 else (2, shape[0], shape[1], shape[1]) for shape in shapes]
    assert [tuple(state.shape) for state in found.hidden_states] == expected
    assert torch.equal(found.logits, model.net.linear(found.hidden_states[-1]))
    assert model(pixel_values=pixels).hidden_states is None


def test_zero_padded_shortcuts_have_no_weights() -> None:
    """Option A: channels of the input in the middle, zeros around, every second pixel."""
    block = _built(NetSpec(family="resnet", depth=8)).net.layer2[0]
    images = torch.rand(1, 16, 8, 8)
    found = block.shortcut(images)
    assert _count(block.shortcut) == 0 and found.shape == (1, 32, 4, 4)
    assert torch.equal(found[:, 8:24], images[:, :, ::2, ::2])
    assert not found[:, :8].any() and not found[:, 24:].any()


# --- pixels ---------------------------------------------------------------------------------------


def test_normalisation_is_the_first_layer() -> None:
    """Pixels in [0, 1] go in: the same as a plain net on normalised ones."""
    model = _built(NetSpec(family="resnet", depth=8)).eval()
    pixels = torch.rand(3, 3, 32, 32)
    mean, std = (torch.tensor(IMAGENET[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    expected = model.net.linear(model.net.features((pixels - mean) / std)[-1])
    assert torch.equal(model(pixel_values=pixels).logits, expected)


@pytest.mark.parametrize("family", ["resnet", "wrn", "vgg"])
def test_gradients_reach_pixels_and_every_weight(family: Any) -> None:
    """By autograd as by a finite difference along the gradient."""
    depth = {"resnet": 8, "wrn": 10, "vgg": 8}[family]
    form = ImageFormat(size=16, channels=1, mean=(0.3,), std=(0.4,))
    model = _built(NetSpec(family=family, depth=depth, base=4), 4, form=form).double().eval()
    pixels = torch.rand(2, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([1, 3])
    loss = F.cross_entropy(model(pixel_values=pixels).logits, labels)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert pixels.grad is not None and (pixels.grad.flatten(1).norm(dim=1) > 0).all()
    step = 1e-6 * pixels.grad / pixels.grad.norm()
    with torch.no_grad():
        rise = sum(sign * F.cross_entropy(model(pixel_values=pixels + sign * step).logits, labels) for sign in (1, -1))
    assert (rise / 2e-6).item() == pytest.approx(pixels.grad.norm().item(), rel=1e-3)


def test_initial_weights_depend_on_the_seed_alone() -> None:
    """Whatever the global random state was."""
    net = NetSpec(family="resnet", depth=8)
    torch.manual_seed(1)
    first = _built(net).state_dict()
    torch.manual_seed(2)
    second, other = _built(net).state_dict(), _built(net, seed=2).state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not torch.equal(first["net.conv1.weight"], other["net.conv1.weight"])
    fan_out = 9 * 16
    assert first["net.layer1.0.conv1.weight"].std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)


@pytest.mark.parametrize("family", ["resnet", "wrn", "vgg"])
def test_a_saved_network_is_the_same_network(tmp_path: Path, family: Any) -> None:
    """Weights, running statistics, normalisation and architecture; as safetensors."""
    depth = {"resnet": 14, "wrn": 16, "vgg": 11}[family]
    model = _built(NetSpec(family=family, depth=depth, base=4, width=2), 7)
    pixels = torch.rand(4, 3, 32, 32)
    model.train()(pixel_values=pixels)  # moves the running statistics
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert isinstance(again, ConvNet) and not again.training and again.config.num_labels == 7
    assert torch.equal(again(pixel_values=pixels).logits, model.eval()(pixel_values=pixels).logits)
    assert torch.equal(again.mean, model.mean) and (tmp_path / "model.safetensors").is_file()


# --- real weights ---------------------------------------------------------------------------------


def _trained(depth: int) -> ConvNet:
    """A network of the test folder, its weights loaded strictly."""
    path = TRAINED / f"cifar10-resnet{depth}" / "model.safetensors"
    if not path.is_file():
        pytest.skip(f"no {path}: trained teachers for tests lie beside the data mirror (KDBENCH_DATA)")
    model = ConvNet(ConvNetConfig(depth=depth, num_labels=10, **IMAGENET))
    model.net.load_state_dict(load_file(path), strict=True)
    return model.eval()


def _accuracy(model: ConvNet, dataset: str, count: int) -> float:
    """On ``count`` rows, equally spaced."""
    path = MIRROR / dataset
    if not path.is_file():
        pytest.skip(f"no {path}: the mirror (KDBENCH_DATA) does not have this dataset")
    table = pd.read_parquet(path)
    table = table.iloc[np.linspace(0, len(table) - 1, count).astype(int)]
    examples = to_examples(table, Columns(image="img"), TASKS.get("cifar10").labels, {}, dataset)
    assert isinstance(examples, ImageExamples)
    logits = predict(model, ImageReader(FORM).encode(examples), 100)
    return float((logits.argmax(1) == examples.labels).mean())


@pytest.mark.parametrize(
    ("depth", "lossless", "jpeg", "count"), [(20, 0.998, 0.810, 1000), (56, 1.000, 0.832, 400)]
)  # fmt: skip
def test_networks_trained_elsewhere_do_as_well_here(depth: int, lossless: float, jpeg: float, count: int) -> None:
    """Architecture, order of classes, decoding and normalisation are right, or accuracy would fall.

    Within four standard errors of a sample of ``count`` from what was measured on the whole sets.
    """
    model = _trained(depth)
    assert _accuracy(model, "local/cifar10-lossless-4k/default/train.parquet", 400) >= lossless - 0.009
    found = _accuracy(model, "uoft-cs/cifar10/plain_text/test.parquet", count)
    assert abs(found - jpeg) < 4 * (jpeg * (1 - jpeg) / count) ** 0.5


def test_classes_of_the_shifted_set_are_those_of_cifar() -> None:
    """Its raw labels are CIFAR-10's indices: a network trained on CIFAR-10 is far above chance."""
    accuracy = _accuracy(_trained(20), "local/tinyimagenet-cifar10-shift/default/test.parquet", 400)
    assert accuracy > 0.5


def test_an_untrained_deep_network_has_modest_logits() -> None:
    """Without batch statistics the activations of 110 layers grow from block to block: a constant class."""
    spec = ModelSpec(name="deep", source=ModelSource(net=NetSpec(family="resnet", depth=110)))
    images = torch.rand(8, 3, 32, 32)

    def spread(random: bool) -> float:
        model = build_model(spec, Head("image-classification", 10, FORM), NOWHERE, seed=1, random=random).eval()
        assert all(m.momentum == 0.1 for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
        with torch.inference_mode():
            return float(model(images).logits.std())

    assert spread(random=True) < 10 < spread(random=False)
