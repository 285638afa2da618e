"""Models and images that tests attack: a small network trained here, and a real one from the mirror."""

from __future__ import annotations

import functools
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import Tensor, nn

from kdbench.attacks.spec import ATTACKS, AttackSpec
from kdbench.models.convnet import ConvNet, ConvNetConfig
from tests.conftest import MIRROR


class SmallNet(nn.Module):
    """Two convolutions with batch normalisation and dropout, so that the mode matters."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.dropout = nn.Dropout(0.2)
        self.linear = nn.Linear(16 * 16, classes)

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.relu(self.norm(self.conv1(images - 0.5)))
        return self.linear(self.dropout(F.relu(self.conv2(hidden)).flatten(1)))


class Around(nn.Module):
    """A model with something done to its images, or its logits."""

    def __init__(self, model: nn.Module, before=lambda x: x, after=lambda z: z) -> None:
        super().__init__()
        self.model, self.before, self.after = model, before, after

    def forward(self, images: Tensor) -> Tensor:
        return self.after(self.model(self.before(images)))


@functools.cache
def digits(classes: int = 10) -> tuple[Tensor, Tensor]:
    """1,797 images of 8 x 8 pixels in [0, 1], and labels modulo ``classes``."""
    data = load_digits()
    images = torch.from_numpy(data.images).float().unsqueeze(1) / 16
    return images, torch.from_numpy(data.target).long() % classes


@functools.cache
def trained(classes: int = 10) -> SmallNet:
    """A network that has learnt the digits; attackable, since nothing has made it robust. The same in any process."""
    generator = torch.Generator().manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums depend on how many there are
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SmallNet(classes)
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
        images, labels = digits(classes)
        for _ in range(200):
            rows = torch.randint(len(images), (128,), generator=generator)
            optimizer.zero_grad()
            F.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    torch.set_num_threads(threads)
    return model.eval()


def attack(
    name: str = "test", *, norm: str = "Linf", epsilon: float = 0.1, epsilons: tuple = (), members: list
) -> AttackSpec:
    """A spec made in place; members may be names, and several epsilons replace the one."""
    listed = [{"algorithm": member} if isinstance(member, str) else member for member in members]
    largest = epsilons[-1] if epsilons else epsilon
    return AttackSpec(name=name, kind="image", norm=norm, epsilon=largest, epsilons=epsilons, members=listed)


def shortened(name: str, **settings: float) -> AttackSpec:
    """A catalogued attack whose members have smaller settings, where they have them."""
    spec = ATTACKS.get(name)
    members = [
        member.model_copy(update={key: value for key, value in settings.items() if hasattr(member, key)})
        for member in spec.members
    ]
    return spec.model_copy(update={"members": tuple(members)})


def real_model() -> ConvNet:
    """The ResNet-20 beside the mirror; skips without it."""
    path = MIRROR.parent / "models" / "cifar10-resnet20" / "model.safetensors"
    if not path.is_file():
        pytest.skip("no real image model beside the mirror (set KDBENCH_DATA)")
    model = ConvNet(ConvNetConfig(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), num_labels=10))
    model.net.load_state_dict(load_file(path))
    return model.eval()


def real_images(count: int) -> tuple[Tensor, Tensor]:
    """Lossless CIFAR-10 images of the mirror; skips without them."""
    from PIL import Image

    path: Path = MIRROR / "local" / "cifar10-lossless-4k" / "default" / "train.parquet"
    if not path.is_file():
        pytest.skip("no mirror of real data (set KDBENCH_DATA)")
    table = pd.read_parquet(path).head(count)
    column = next(name for name in table.columns if name.startswith("im"))
    pixels = np.stack([np.array(Image.open(io.BytesIO(cell["bytes"]))) for cell in table[column]])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().contiguous() / 255
    return images, torch.tensor(table["label"].tolist())
