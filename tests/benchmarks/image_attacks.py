"""The ensemble on images against torchattacks' members one after another, and against AutoAttack's own code.

``python -m tests.benchmarks.image_attacks FOLDER`` compares the standard ensemble with AutoAttack's own code on 200
images of CIFAR-10: on the ResNet-18 that ``pyautoattack`` ships, or on a trained model saved in FOLDER. It takes from
minutes to an hour, by how much stands.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchattacks
from torch import Tensor, nn

from kdbench.attacks import image_victim
from kdbench.attacks.images import ImageAttackResult, attack_images
from kdbench.attacks.spec import ATTACKS, AttackSpec
from kdbench.models.build import load_model
from tests.attacks.image_cases import real_images, real_model
from tests.benchmarks.measure import show

COUNT, REFERENCE_COUNT, BATCH = 64, 200, 64
ENSEMBLES = ("worst-linf-1", "worst-linf-4", "worst-linf-8")


class Logits(nn.Module):
    """A transformers model as other libraries want it, with a count of the images it was shown."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.shown = model.requires_grad_(False), 0
        self.eval()  # torchattacks would put a model back into training mode if only its outermost module is in it

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(batch, classes)``."""
        self.shown += len(images)
        return image_victim.logits_of(self.model, images)


def measure() -> None:
    """(k) for balls in which much, little and nothing stands; once each, since the work is a count of passes."""
    images, labels = real_images(COUNT)
    model = Logits(real_model())
    for name in ENSEMBLES:
        spec = ATTACKS.get(name)
        verdicts, seconds, shown = [], [], []
        for run in (_ours, _one_after_another):
            model.shown, start = 0, time.perf_counter()
            verdicts.append(run(model, images, labels, spec))
            seconds.append(time.perf_counter() - start)
            shown.append(model.shown)
        show(f"(k) torchattacks one after another / {name}, {COUNT} images", [seconds[1] / seconds[0]], ">= 2")
        mine, theirs = verdicts
        print(f"    stand: {mine.sum()} / {theirs.sum()}, differ: {(mine != theirs).sum()}; "
              f"images shown to the model: {shown[0]:,} / {shown[1]:,}", flush=True)  # fmt: skip
        _profile(lambda spec=spec: _ours(model, images, labels, spec))


def _ours(model: nn.Module, images: Tensor, labels: Tensor, spec: AttackSpec) -> np.ndarray:
    """``(n,)`` what stands."""
    return standing(attack_images(model, images, labels, spec, seed=0))


def standing(result: ImageAttackResult) -> np.ndarray:
    """``(n,)`` bool, right after the attack."""
    return np.array(result.outcomes) == "failed"


def _one_after_another(model: nn.Module, images: Tensor, labels: Tensor, spec: AttackSpec) -> np.ndarray:
    """Every member as its users call it, on all examples; what stands is what every one left standing."""
    epsilon = spec.epsilon
    kept = _right(model, images, labels)
    for member in spec.members:
        attack = {
            "fgsm": lambda m: torchattacks.FGSM(model, eps=epsilon),
            "pgd": lambda m: torchattacks.PGD(model, eps=epsilon, alpha=m.step_size * epsilon, steps=m.steps),
            "apgd-ce": lambda m: torchattacks.APGD(model, eps=epsilon, steps=m.steps),
            "apgd-t": lambda m: torchattacks.APGDT(model, eps=epsilon, steps=m.steps, n_classes=m.targets + 1),
            "square": lambda m: torchattacks.Square(model, eps=epsilon, n_queries=m.queries),
        }[member.algorithm](member)
        kept &= _right(model, attack(images, labels), labels)
    return kept


@torch.no_grad()
def _right(model: nn.Module, images: Tensor, labels: Tensor) -> np.ndarray:
    return (torch.cat([model(batch) for batch in images.split(BATCH)]).argmax(1) == labels).numpy()


def _profile(run: Callable[[], object]) -> None:
    """Where the time goes: shares of the model's passes, of gradients, and of all the rest."""
    profile = cProfile.Profile()
    profile.runcall(run)
    calls = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(values[2] for values in calls.values())
    forward = sum(v[3] for (file, _, name), v in calls.items() if name == "logits_of" and "image_victim" in file)
    forward -= sum(v[3] for (_, _, name), v in calls.items() if name == "logits_of") - forward
    gradient = sum(values[2] for (_, _, name), values in calls.items() if "run_backward" in name)
    rest = total - forward - gradient
    shares = {"forward": forward, "gradient": gradient, "algorithms and bookkeeping": rest}
    print("    time:", ", ".join(f"{name} {share / total:.0%}" for name, share in shares.items()), flush=True)


def resnet18() -> nn.Module:
    """The CIFAR-10 network that AutoAttack's authors ship with their example."""
    import pyautoattack
    from pyautoattack.examples.resnet import ResNet18

    weights = Path(pyautoattack.__file__).parent / "examples" / "model_test.pt"
    model = ResNet18()
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model.eval()


def compare(model: nn.Module, epsilon: float, count: int) -> None:
    """Verdicts of the standard ensemble, ours and by AutoAttack's own code."""
    import pyautoattack

    images, labels = real_images(count)
    model = Logits(model)
    spec = ATTACKS.get("autoattack-standard-linf-8").model_copy(update={"epsilon": epsilon})
    start = time.perf_counter()
    result = attack_images(model, images, labels, spec, seed=0, batch_size=BATCH)
    middle, ours = time.perf_counter(), model.shown
    print(f"  kdbench: {standing(result).sum()} of {count} stand, {middle - start:.0f} s, {ours:,} passes, "
          f"after each member {result.after}", flush=True)  # fmt: skip
    oracle = pyautoattack.AutoAttack(model, norm="Linf", eps=epsilon, seed=0, version="standard")
    oracle.verbose = False
    adversarial, _ = oracle.run_standard_evaluation(images, labels, batch_size=BATCH)
    theirs = _right(model, adversarial, labels)
    print(f"  AutoAttack's own code: {theirs.sum()} stand, {time.perf_counter() - middle:.0f} s, "
          f"{model.shown - ours:,} passes", flush=True)  # fmt: skip
    differ = np.flatnonzero(standing(result) != theirs)
    print(f"  same verdict: {1 - len(differ) / count:.1%} (promised >= 99%)", flush=True)
    for row in differ:
        print(f"    image {row}: broken by {result.broken_by[row] or 'their code'} alone", flush=True)


def main() -> None:
    """Compare with AutoAttack's own code."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, nargs="?", help="a saved model [the ResNet-18 of pyautoattack]")
    options.add_argument("--epsilons", type=float, nargs="+", default=[8.0], help="in 255ths")
    options.add_argument("--count", type=int, default=REFERENCE_COUNT, help="images")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    for epsilon in chosen.epsilons:
        print(f"{chosen.folder or 'ResNet-18'}, Linf {epsilon:g}/255, {chosen.count} images", flush=True)
        compare(load_model(chosen.folder) if chosen.folder else resnet18(), epsilon / 255, chosen.count)


if __name__ == "__main__":
    main()
