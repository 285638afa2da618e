"""The convolutional networks of the CIFAR distillation literature, behind the interface of transformers' models.

ResNets of 6n+2 layers (He et al., CVPR 2016, section 4.2), wide ResNets of 6n+4 layers (Zagoruyko & Komodakis, BMVC
2016) and VGGs with batch normalisation, as RepDistiller (Tian et al., ICLR 2020) sizes them. They read pixels in
[0, 1]: normalisation is their first layer, so that attacks and checkpoints cannot get it wrong.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput

_VGG_BLOCKS = {8: (1, 1, 1, 1, 1), 11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2)}


class ConvNetConfig(PretrainedConfig):  # type: ignore[misc]
    """Architecture and normalisation; the fields are those of ``NetSpec`` and ``ImageFormat``."""

    model_type = "kdbench-convnet"

    def __init__(
        self,
        family: str = "resnet",
        depth: int = 20,
        width: int = 1,
        base: int = 16,
        shortcut: str = "A",
        channels: int = 3,
        size: int = 32,
        mean: tuple[float, ...] = (0.0, 0.0, 0.0),
        std: tuple[float, ...] = (1.0, 1.0, 1.0),
        **kwargs: Any,
    ) -> None:
        self.family, self.depth, self.width, self.base, self.shortcut = family, depth, width, base, shortcut
        self.channels, self.size, self.mean, self.std = channels, size, list(mean), list(std)
        super().__init__(**kwargs)


class ConvNet(PreTrainedModel):  # type: ignore[misc]
    """A classifier of small images."""

    config_class = ConvNetConfig
    main_input_name = "pixel_values"
    base_model_prefix = "net"
    _supports_attention_backend: ClassVar[bool] = False

    def __init__(self, config: ConvNetConfig) -> None:
        super().__init__(config)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(config.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(config.std).view(1, -1, 1, 1))
        self.net: Any = _FAMILIES[config.family](config)
        self.post_init()

    def forward(
        self, pixel_values: Tensor, output_hidden_states: bool = False, output_attentions: bool = False
    ) -> ImageClassifierOutput:
        """Classify images.

        Args:
            pixel_values: ``(batch, channels, height, width)`` in [0, 1].
            output_hidden_states: also return the stem's and every stage's output and the pooled features.
            output_attentions: there are none; for the interface's sake.

        Returns:
            ``logits`` ``(batch, classes)`` and, when asked for, ``hidden_states``.
        """
        features = self.net.features((pixel_values - self.mean) / self.std)
        logits = self.net.linear(features[-1])
        return ImageClassifierOutput(logits=logits, hidden_states=tuple(features) if output_hidden_states else None)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)


def with_noise_statistics(net: ConvNet, batch_size: int = 64) -> ConvNet:
    """An untrained network that is to be used as it is: batch normalisation has the statistics of noise images."""
    layers = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = None  # the mean over batches, of which there is one
    size, channels = net.config.size, net.config.channels
    with torch.no_grad():
        net.train()(torch.rand(batch_size, channels, size, size))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return net


class _ResNet(nn.Module):
    """Three stages of ``n`` basic blocks; a width of ``k`` multiplies the stages' channels, and doubles the stem's."""

    def __init__(self, config: ConvNetConfig) -> None:
        super().__init__()
        blocks = (config.depth - 2) // 6
        stem = config.base * min(2, config.width)
        widths = [config.base * config.width * factor for factor in (1, 2, 4)]
        self.conv1 = _conv3x3(config.channels, stem)
        self.bn1 = nn.BatchNorm2d(stem)
        inputs = stem
        for index, width in enumerate(widths, start=1):
            stage = [_BasicBlock(inputs, width, 1 if index == 1 else 2, config.shortcut)]
            stage += [_BasicBlock(width, width, 1, config.shortcut) for _ in range(blocks - 1)]
            setattr(self, f"layer{index}", nn.Sequential(*stage))
            inputs = width
        self.linear = nn.Linear(inputs, config.num_labels)

    def features(self, images: Tensor) -> list[Tensor]:
        """Stem, three stages, pooled."""
        states = [F.relu(self.bn1(self.conv1(images)))]
        for index in (1, 2, 3):
            states.append(getattr(self, f"layer{index}")(states[-1]))
        return [*states, states[-1].mean((2, 3))]


class _BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = _Pad(outputs - inputs, stride) if shortcut == "A" else _project(inputs, outputs, stride)

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.relu(self.bn1(self.conv1(images)))
        return F.relu(self.bn2(self.conv2(hidden)) + self.shortcut(images))


class _Pad(nn.Module):
    """Option A of He et al.: subsample, and fill the new channels with zeros."""

    def __init__(self, missing: int, stride: int) -> None:
        super().__init__()
        self.before, self.after, self.stride = missing // 2, missing - missing // 2, stride

    def forward(self, images: Tensor) -> Tensor:
        strided = images[:, :, :: self.stride, :: self.stride]
        return F.pad(strided, (0, 0, 0, 0, self.before, self.after))


def _project(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Option B of He et al.: a 1x1 convolution."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class _WideResNet(nn.Module):
    """Three stages of ``n`` pre-activation blocks."""

    def __init__(self, config: ConvNetConfig) -> None:
        super().__init__()
        blocks = (config.depth - 4) // 6
        self.conv1 = _conv3x3(config.channels, config.base)
        inputs = config.base
        for index, factor in enumerate((1, 2, 4), start=1):
            width = config.base * config.width * factor
            stage = [_PreActivationBlock(inputs, width, 1 if index == 1 else 2)]
            stage += [_PreActivationBlock(width, width, 1) for _ in range(blocks - 1)]
            setattr(self, f"block{index}", nn.Sequential(*stage))
            inputs = width
        self.bn1 = nn.BatchNorm2d(inputs)
        self.linear = nn.Linear(inputs, config.num_labels)

    def features(self, images: Tensor) -> list[Tensor]:
        """Stem, three stages, pooled."""
        states = [self.conv1(images)]
        for index in (1, 2, 3):
            states.append(getattr(self, f"block{index}")(states[-1]))
        return [*states, F.relu(self.bn1(states[-1])).mean((2, 3))]


class _PreActivationBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = _conv3x3(inputs, outputs, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv3x3(outputs, outputs)
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        active = F.relu(self.bn1(images))
        hidden = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return hidden + (images if self.shortcut is None else self.shortcut(active))  # type: ignore[no-any-return]


class _VGG(nn.Module):
    """Five blocks of 64 to 512 channels; the first three end with a halving of the image."""

    def __init__(self, config: ConvNetConfig) -> None:
        super().__init__()
        inputs = config.channels
        blocks = []
        for length, factor in zip(_VGG_BLOCKS[config.depth], (4, 8, 16, 32, 32), strict=True):
            layers: list[nn.Module] = []
            for _ in range(length):
                width = config.base * config.width * factor
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                inputs = width
            blocks.append(nn.Sequential(*layers))
        self.blocks = nn.ModuleList(blocks)
        self.linear = nn.Linear(inputs, config.num_labels)

    def features(self, images: Tensor) -> list[Tensor]:
        """Five blocks, pooled."""
        states: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            pooled = images if index in (0, 4) else F.max_pool2d(images, 2)
            images = block(pooled)
            states.append(images)
        return [*states, images.mean((2, 3))]


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


_FAMILIES: dict[str, type[nn.Module]] = {"resnet": _ResNet, "wrn": _WideResNet, "vgg": _VGG}
