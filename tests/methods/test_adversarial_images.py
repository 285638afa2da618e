"""Adversarial images at work on a small ResNet: the ball, the climb, and the student left as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torchattacks
from scipy.special import log_softmax, softmax
from torch import Tensor, nn

from kdbench.methods.augment.adversarial_images import AdversarialImages
from kdbench.methods.augment.adversarial_images_run import AdversarialImagesRun, ascend
from kdbench.methods.augment.base import AugmenterContext, Batch
from kdbench.methods.augment.inner import held_fixed
from kdbench.methods.contract import Outputs
from kdbench.models.convnet import ConvNet, ConvNetConfig

EPSILON, STEP = 8 / 255, 2 / 255
KINDS = ["ce", "kl", "soft-ce", "mse"]


def _settings(kind: str = "ce", steps: int = 3) -> AdversarialImages:
    return AdversarialImages(kind, EPSILON, STEP, steps)  # type: ignore[arg-type]


def _net(seed: int, base: int = 4) -> ConvNet:
    """A ResNet-8 of random weights whose logits matter and whose statistics are not those of a batch."""
    torch.manual_seed(seed)
    net = ConvNet(ConvNetConfig(depth=8, base=base, size=8, num_labels=4))
    with torch.no_grad():
        net.net.linear.weight.mul_(200)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def _batch(teacher: ConvNet, count: int = 16) -> Batch:
    """Noise with saturated pixels, which tell the box from the ball; labels at random."""
    source = torch.Generator().manual_seed(3)
    images = (torch.rand(count, 3, 8, 8, generator=source) * 1.4 - 0.2).clamp(0, 1)
    labels = torch.randint(4, (count,), generator=source)
    with torch.no_grad():
        logits = teacher(pixel_values=images).logits
    return Batch({"pixel_values": images}, labels, Outputs(logits), lambda: teacher)


def _start(
    settings: AdversarialImages, student: ConvNet, *, seed: int = 0, precision: str = "fp32"
) -> AdversarialImagesRun:
    def unwanted(_: int) -> Any:
        raise AssertionError("an attack on images needs neither a generator nor other batches")

    run = settings.start(AugmenterContext(student, None, unwanted, unwanted, False, seed, precision))  # type: ignore[arg-type]
    assert isinstance(run, AdversarialImagesRun)
    return run


def _attack(kind: str, steps: int, student: ConvNet, batch: Batch, **options: Any) -> Tensor:
    return _start(_settings(kind, steps), student, **options).augment(batch, 0)["pixel_values"]


def _divergence(kind: str, student: ConvNet, teacher: ConvNet, batch: Batch, images: Tensor) -> float:
    """By hand."""
    with torch.no_grad():
        s = student(pixel_values=images).logits.double().numpy()
        t = teacher(pixel_values=images).logits.double().numpy()
    clean = batch.teacher.logits.double().numpy()
    if kind == "ce":
        return float(-log_softmax(s, axis=1)[np.arange(len(s)), batch.labels.numpy()].mean())
    if kind == "kl":
        return float((softmax(clean, axis=1) * (log_softmax(clean, axis=1) - log_softmax(s, axis=1))).sum(1).mean())
    if kind == "mse":
        return float(((s - t) ** 2).mean())
    return float(-(softmax(t, axis=1) * log_softmax(s, axis=1)).sum(1).mean())


def _objective(kind: str, student: ConvNet, teacher: ConvNet, batch: Batch) -> Callable[[Tensor], Tensor]:
    """The same with gradient, through torch's own losses."""

    def objective(images: Tensor) -> Tensor:
        s, t = student(pixel_values=images).logits, teacher(pixel_values=images).logits
        if kind == "ce":
            return nn.functional.cross_entropy(s, batch.labels)
        if kind == "kl":
            return nn.functional.kl_div(s.log_softmax(1), batch.teacher.logits.softmax(1), reduction="batchmean")
        if kind == "mse":
            return nn.functional.mse_loss(s, t)
        return nn.functional.cross_entropy(s, t.softmax(1))  # soft targets, gradient through both

    return objective


@pytest.mark.parametrize("kind", KINDS)
def test_images_stay_in_the_ball_and_in_the_box(kind: str) -> None:
    """Ten steps want to leave both; the edge of the ball is reached, and the original is left alone."""
    student, teacher = _net(1), _net(2, base=8)
    batch = _batch(teacher)
    before = batch.inputs["pixel_values"].clone()
    found = _attack(kind, 10, student, batch)
    moved = (found - before).abs()
    assert torch.equal(batch.inputs["pixel_values"], before) and found.dtype == torch.float32
    assert moved.max() <= EPSILON + 1e-6 and moved.max() > 0.99 * EPSILON
    assert found.min() == 0 and found.max() == 1
    assert not found.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_the_divergence_rises_with_every_few_steps(kind: str) -> None:
    """From the same random start: 0, 1, 3, 10 steps."""
    student, teacher = _net(1), _net(2, base=8)
    batch = _batch(teacher)
    found = [_divergence(kind, student, teacher, batch, _attack(kind, n, student, batch)) for n in (0, 1, 3, 10)]
    assert found == sorted(found) and found[-1] > found[0] * 1.05 + 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_follows_the_sign_of_the_gradient_of_its_divergence(kind: str) -> None:
    """For ``soft-ce`` and ``mse`` through both models: a student that is its own teacher shows the difference."""
    student = _net(1)
    for teacher in (_net(2, base=8), student):
        batch = _batch(teacher)
        images = batch.inputs["pixel_values"]
        start, after = (_attack(kind, steps, student, batch) for steps in (0, 1))
        leaf = start.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(_objective(kind, student, teacher, batch)(leaf), leaf)
        expected = start + STEP * gradient.sign()
        expected = torch.min(torch.max(expected, images - EPSILON), images + EPSILON).clamp(0, 1)
        clear = gradient.abs() > 1e-5 * gradient.abs().max()
        assert (expected != start)[clear].any() or (kind == "mse" and teacher is student)
        torch.testing.assert_close(after[clear], expected[clear], atol=1e-6, rtol=0)


def test_the_ascent_is_torchattacks_pgd() -> None:
    """An independent library, from the same start."""
    student = _net(1)
    batch = _batch(student)
    images = batch.inputs["pixel_values"]

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = student

        def forward(self, pixels: Tensor) -> Tensor:
            return self.net(pixel_values=pixels).logits

    attack = torchattacks.PGD(Logits().eval(), eps=EPSILON, alpha=STEP, steps=7, random_start=False)
    objective = _objective("ce", student, student, batch)
    found = ascend(objective, images, images, epsilon=EPSILON, step_size=STEP, steps=7)
    torch.testing.assert_close(found, attack(images, batch.labels), atol=1e-6, rtol=0)


def test_the_start_is_uniform_in_the_ball() -> None:
    """No step at all: mean 0, variance ε²/3, each pixel its own draw."""
    student = _net(1)
    grey = {"pixel_values": torch.full((64, 3, 8, 8), 0.5)}
    batch = replace(_batch(student, 64), inputs=grey)
    noise = (_attack("ce", 0, student, batch) - 0.5) / EPSILON
    assert noise.abs().max() <= 1 + 1e-5 and noise.unique().numel() > 10_000
    assert noise.mean().abs() < 0.02 and noise.var().item() == pytest.approx(1 / 3, rel=0.03)


def test_randomness_comes_from_seed_and_step_alone() -> None:
    """Neither from the global generator nor into it; dropout and its like are off."""
    student, teacher = _net(1), _net(2)
    student.train()
    batch = _batch(teacher)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = _attack("kl", 3, student, batch)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(first, _attack("kl", 3, student, batch))
    assert not torch.equal(first, _attack("kl", 3, student, batch, seed=1))
    run = _start(_settings("kl"), student)
    one, two = (run.augment(batch, step)["pixel_values"] for step in (0, 1))
    assert torch.equal(one, first) and not torch.equal(one, two)


@pytest.mark.parametrize("kind", KINDS)
def test_the_student_is_left_as_it_was(kind: str) -> None:
    """Weights, statistics, modes, flags and gradients, also where some are frozen; the teacher as well."""
    student, teacher = _net(1), _net(2, base=8).requires_grad_(False)
    batch = _batch(teacher)
    student.train()
    student.net.bn1.eval()
    student.net.conv1.weight.requires_grad_(False)
    for parameter in student.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.full_like(parameter, 0.5)
    kept = [copy.deepcopy(net) for net in (student, teacher)]
    _attack(kind, 3, student, batch)
    for net, old in zip((student, teacher), kept, strict=True):
        assert all(torch.equal(value, old.state_dict()[name]) for name, value in net.state_dict().items())
        assert [m.training for m in net.modules()] == [m.training for m in old.modules()]
        assert [p.requires_grad for p in net.parameters()] == [p.requires_grad for p in old.parameters()]
    for parameter in student.parameters():
        assert (parameter.grad is None) or (parameter.grad == 0.5).all()
        assert (parameter.grad is not None) == parameter.requires_grad
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_the_student_is_restored_after_an_error_too() -> None:
    """An interrupted attack leaves a student that can be trained."""
    student = _net(1).train()
    with pytest.raises(KeyError), held_fixed(student):
        assert not student.training and not any(p.requires_grad for p in student.parameters())
        raise KeyError
    assert all(module.training for module in student.modules()) and all(p.requires_grad for p in student.parameters())


def test_a_pending_backward_is_not_disturbed() -> None:
    """The trainer has run the student on the originals when the attack begins."""
    gradients = []
    for attacked in (False, True):
        student, teacher = _net(1).train(), _net(2)
        batch = _batch(teacher)
        loss = nn.functional.cross_entropy(student(**batch.inputs).logits, batch.labels)
        if attacked:
            _attack("ce", 3, student, batch)
        loss.backward()
        gradients.append([parameter.grad for parameter in student.parameters()])
    assert all(g is not None and torch.equal(g, h) for g, h in zip(*gradients, strict=True))


def test_who_is_asked() -> None:
    """ARD and RSLAD do with the teacher's answer to the original; MATE-KD's game runs the teacher."""
    student, teacher = _net(1), _net(2)
    batch = _batch(teacher)

    def refuse() -> Any:
        raise AssertionError("the teacher was loaded")

    for kind in KINDS:
        settings = _settings(kind)
        live = kind in ("soft-ce", "mse")
        assert settings.live_teacher == live and not settings.needs_generator
        assert settings.teacher_reads == ("augmented" if live else "original")
        assert settings.generator_updates(100) == 0
        run = _start(settings, student)
        if live:
            with pytest.raises(AssertionError, match="the teacher was loaded"):
                run.augment(replace(batch, teacher_model=refuse), 0)
        else:
            run.augment(replace(batch, teacher_model=refuse), 0)
        run.before_update(0, refuse)
        assert run.state() == {}
        run.restore({})


def test_precision_is_that_of_the_training() -> None:
    """bf16 convolutions, fp32 images within the ball."""
    student, teacher = _net(1), _net(2)
    batch, seen = _batch(teacher), []
    student.net.conv1.register_forward_hook(lambda _m, _a, out: seen.append(out.dtype))
    found = _attack("mse", 2, student, batch, precision="bf16")
    assert set(seen) == {torch.bfloat16} and found.dtype == torch.float32
    assert (found - batch.inputs["pixel_values"]).abs().max() <= EPSILON + 1e-6
    seen.clear()
    _attack("mse", 2, student, batch)
    assert set(seen) == {torch.float32}


def test_other_inputs_pass_through() -> None:
    """Whatever else a model reads."""
    student = _net(1)
    batch = _batch(student)
    extra = torch.ones(16)
    batch = replace(batch, inputs={**batch.inputs, "extra": extra})
    assert _start(_settings(), student).augment(batch, 0)["extra"] is extra
