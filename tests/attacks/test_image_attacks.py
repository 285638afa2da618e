"""Image attacks: inside the ball, on the right images, reproducible, and without a trace on the model."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

from kdbench.attacks.image_victim import Finished, Victim
from kdbench.attacks.images import attack_images, summarize_images
from kdbench.attacks.spec import ATTACKS
from kdbench.errors import AttackError
from tests.attacks.image_cases import Around, attack, digits, trained

COUNT = 32
QUICK = {
    "fgsm": "fgsm",
    "pgd": {"algorithm": "pgd", "steps": 8},
    "cw": {"algorithm": "cw", "steps": 20, "constants": [0.1, 1.0]},
    "apgd-ce": {"algorithm": "apgd-ce", "steps": 10},
    "apgd-dlr": {"algorithm": "apgd-dlr", "steps": 10},
    "apgd-t": {"algorithm": "apgd-t", "steps": 10, "targets": 2},
    "fab-t": {"algorithm": "fab-t", "steps": 10, "targets": 2},
    "square": {"algorithm": "square", "queries": 40, "rescale": True},
}
BALLS = {"Linf": 0.1, "L2": 0.5}
CASES = [(norm, name) for norm in BALLS for name in QUICK if (norm, name) not in {("L2", "fgsm"), ("Linf", "cw")}]


@pytest.fixture
def sample():
    images, labels = digits()
    return images[:COUNT], labels[:COUNT]


def norms(result, images, norm):
    difference = (result.images - images).flatten(1)
    return difference.abs().amax(1) if norm == "Linf" else difference.norm(dim=1)


@pytest.mark.parametrize(("norm", "name"), CASES)
def test_adversarial_images_are_what_they_claim(norm, name, sample):
    images, labels = sample
    wrong = labels.clone()
    wrong[:3] = (wrong[:3] + 1) % 10  # misclassified before the attack
    model, epsilon = trained(), BALLS[norm]
    result = attack_images(model, images, wrong, attack(norm=norm, epsilon=epsilon, members=[QUICK[name]]), seed=0)

    with torch.no_grad():
        before, after = model(images).argmax(1).numpy(), model(result.images).argmax(1).numpy()
    np.testing.assert_array_equal(result.predicted, before)
    np.testing.assert_array_equal(result.adversarial, after)
    outcomes = np.array(result.outcomes)
    expected = np.where(after != wrong.numpy(), "success", "failed")
    assert (outcomes == np.where(before != wrong.numpy(), "skipped", expected)).all()
    assert set(outcomes) == {"skipped", "failed", "success"}, "a case that tells nothing"
    np.testing.assert_array_equal(result.broken_by, np.where(outcomes == "success", name, ""))

    np.testing.assert_allclose(result.norms, norms(result, images, norm), rtol=1e-5)
    assert result.norms.max() <= epsilon * (1 + 1e-6)
    assert result.images.min() >= 0 and result.images.max() <= 1
    assert torch.equal(result.images[:3], images[:3]) and (result.queries[:3] == 1).all()
    summary = summarize_images(result)
    assert summary["clean_accuracy"] == 1 - 3 / COUNT
    assert summary["accuracy_under_attack"] == (outcomes == "failed").mean() == result.after[name]
    assert summary["mean_norm"] == pytest.approx(result.norms[outcomes == "success"].mean(), rel=1e-5)
    assert summary["success_rate"] == pytest.approx((outcomes == "success").sum() / (COUNT - 3))


@pytest.mark.parametrize(("norm", "name"), CASES)
def test_outcomes_depend_on_the_seed_and_the_image_alone(norm, name, sample):
    images, labels = sample
    spec = attack(norm=norm, epsilon=BALLS[norm], members=[QUICK[name]])
    whole = attack_images(trained(), images, labels, spec, seed=3)
    again = attack_images(trained(), images, labels, spec, seed=3)
    assert torch.equal(whole.images, again.images)
    rows = torch.tensor([20, 7, 8, 30, 2])
    part = attack_images(trained(), images[rows], labels[rows], spec, seed=3, batch_size=2)
    # a batch of another size is rounded otherwise, which sign steps and searches may carry on
    assert [part.outcomes[i] == whole.outcomes[row] for i, row in enumerate(rows)].count(True) >= 4
    close = (part.images - whole.images[rows]).flatten(1).abs().amax(1) < 1e-4
    assert close.sum() >= 4
    if name not in {"fgsm", "cw", "fab-t"}:
        other = attack_images(trained(), images, labels, spec, seed=4)
        assert not torch.equal(whole.images, other.images)


def test_the_model_and_all_random_states_are_left_alone(sample):
    images, labels = sample
    model = trained().train()
    model.norm.eval()
    model.linear.bias.requires_grad_(False)
    model.linear.weight.grad = torch.ones_like(model.linear.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    try:
        for norm, epsilon in BALLS.items():
            chosen = [QUICK[name] for case, name in CASES if case == norm]
            attack_images(model, images, labels, attack(norm=norm, epsilon=epsilon, members=chosen), seed=0)
        assert torch.equal(torch.get_rng_state(), states[0])
        assert random.getstate() == states[1] and (np.random.get_state()[1] == states[2]).all()
        assert model.training and model.dropout.training and not model.norm.training
        assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["linear.bias"]
        grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        assert list(grads) == ["linear.weight"] and (grads["linear.weight"] == 1).all()
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    finally:
        model.eval()
        model.linear.weight.grad = None
        model.linear.bias.requires_grad_(True)


@pytest.mark.parametrize("precision", ["bf16 weights", "autocast"])
def test_attacks_run_in_fp32_and_in_evaluation_mode(precision, sample):
    images, labels = sample
    spec = attack(members=[QUICK["pgd"]])
    seen = []
    hook = trained().conv2.register_forward_hook(
        lambda module, inputs, output: seen.append((output.dtype, module.training))
    )
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "autocast"):
            model = copy.deepcopy(trained()).train()
            reference = copy.deepcopy(model)
            if precision != "autocast":
                model, reference = model.bfloat16(), copy.deepcopy(model).bfloat16().float()
            result = attack_images(model, images, labels, spec, seed=0)
        plain = attack_images(reference, images, labels, spec, seed=0)
    finally:
        hook.remove()
    assert set(seen) == {(torch.float32, False)}
    assert torch.equal(result.images, plain.images)
    if precision != "autocast":
        assert model.conv1.weight.dtype == torch.bfloat16
    assert model.training


def test_an_ensemble_is_the_worst_case_of_its_members(sample):
    images, labels = sample
    names = ("fgsm", "pgd", "square", "apgd-t")  # from cheap to dear, in whatever order they are written
    members = [QUICK[name] for name in reversed(names)]
    alone = {name: attack_images(trained(), images, labels, attack(members=[QUICK[name]]), seed=0) for name in names}
    result = attack_images(trained(), images, labels, attack(members=members), seed=0)
    for row, outcome in enumerate(result.outcomes):
        breakers = [name for name, single in alone.items() if single.outcomes[row] == "success"]
        assert result.broken_by[row] == (breakers[0] if breakers else "")
        assert outcome == ("success" if breakers else "failed")
    tried = np.array([name in {"fgsm"} for name in result.broken_by])
    np.testing.assert_array_equal(result.queries[tried], alone["fgsm"].queries[tried])  # not attacked again
    shares = list(result.after.values())
    assert list(result.after) == list(alone) and shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("name", ["pgd", "apgd-ce", "apgd-t", "fab-t", "square"])
def test_broken_images_cost_nothing_more(name, sample):
    """Rows the model is run on: those counted as queries, a look at what broke an image, and one at the results."""
    images, labels = sample
    model, rows = trained(), []
    hook = model.conv1.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    try:
        result = attack_images(model, images, labels, attack(epsilon=0.1, members=[QUICK[name]]), seed=0)
    finally:
        hook.remove()
    looks = sum(rows) - result.queries.sum()
    broken = np.array(result.outcomes) == "success"
    assert looks == COUNT + broken.sum()
    assert result.queries[broken].mean() < 0.7 * result.queries[~broken].mean()


def test_budgets_are_kept_to_the_query(sample):
    """At a ball too small for success every attack runs to its end: the original, and what the algorithm asks."""
    images, labels = sample
    for member, gradients, queries in [
        ("fgsm", 1, 3),
        ({"algorithm": "pgd", "steps": 7, "restarts": 2}, 14, 17),
        ({"algorithm": "apgd-ce", "steps": 9}, 10, 11),
        ({"algorithm": "apgd-t", "steps": 5, "targets": 4}, 24, 25),
        ({"algorithm": "square", "queries": 11}, 0, 13),
    ]:
        spec = attack(epsilon=1e-6, members=[member])
        assert spec.members[0].passes == 2 * gradients + queries - 1
        result = attack_images(trained(), images, labels, spec, seed=0)
        assert set(result.outcomes) == {"failed"}
        assert set(result.gradients.tolist()) == {gradients} and set(result.queries.tolist()) == {queries}


@pytest.mark.parametrize("norm", BALLS)
def test_epsilon_zero_changes_nothing(norm, sample):
    images, labels = sample
    members = [QUICK[name] for case, name in CASES if case == norm]
    result = attack_images(trained(), images, labels, attack(norm=norm, epsilon=0, members=members), seed=0)
    assert set(result.outcomes) == {"failed"} and torch.equal(result.images, images)


@pytest.mark.parametrize("classes", [2, 3])
def test_few_classes(classes):
    images, labels = (part[:COUNT] for part in digits(classes))
    names = ["apgd-dlr", "apgd-t", "fab-t"]
    standing = {}
    for name in ("apgd-ce", *names):
        targets = {"targets": 9} if name.endswith("-t") else {}
        spec = attack(epsilon=0.1, members=[{**QUICK[name], **targets, "steps": 20}])
        result = attack_images(trained(classes), images, labels, spec, seed=0)
        standing[name] = summarize_images(result)["accuracy_under_attack"]
        told = [f"{name} raises the plain logit margin"] if name in {2: names[:2], 3: names[1:2]}[classes] else []
        assert [note.split(":")[0] for note in result.notes] == told
        if name == "fab-t":
            assert result.gradients.max() == 20 * (classes - 1)
    assert max(standing.values()) - min(standing.values()) <= 0.1, standing
    assert 0.1 < standing["apgd-ce"] < 0.9


def test_cw_looks_at_the_logits_differences_only(sample):
    """With every logit negative torchattacks' own margin is 0 for all that is left to do."""
    images, labels = sample
    spec = attack(norm="L2", epsilon=0.5, members=[QUICK["cw"]])
    plain = attack_images(trained(), images, labels, spec, seed=0)
    shifted = attack_images(Around(trained(), after=lambda z: z - 64), images, labels, spec, seed=0)
    assert "success" in plain.outcomes
    assert plain.outcomes == shifted.outcomes


class Narrow(nn.Module):
    """A model on a device where more than 8 images at once do not fit."""

    def __init__(self) -> None:
        super().__init__()
        self.model = trained()
        self.refused = 0

    def forward(self, images):
        if len(images) > 8:
            self.refused += 1
            raise torch.OutOfMemoryError("no memory for so many")
        return self.model(images)


def test_batches_shrink_to_what_fits(sample):
    images, labels = sample
    spec = attack(members=[QUICK["apgd-ce"], QUICK["square"]])
    narrow = Narrow()
    result = attack_images(narrow, images, labels, spec, seed=0)
    fitting = attack_images(trained(), images, labels, spec, seed=0, batch_size=8)
    assert narrow.refused == 2 and result.batch_size == 8  # 32, 16, and never again
    assert torch.equal(result.images, fitting.images) and (result.queries == fitting.queries).all()
    with pytest.raises(torch.OutOfMemoryError):
        attack_images(Around(narrow, before=lambda x: x.repeat(9, 1, 1, 1)), images, labels, spec, seed=0)


def test_progress_reaches_the_end_of_every_member(sample):
    images, labels = sample
    seen = []
    spec = attack(members=[QUICK["fgsm"], QUICK["apgd-t"], QUICK["fgsm"]])
    attack_images(trained(), images, labels, spec, seed=0, batch_size=16, progress=lambda *at: seen.append(at))
    assert [name for name, share in seen if share == 1] == ["fgsm", "fgsm-2", "apgd-t"]
    shares = [share for name, share in seen if name == "apgd-t"]
    assert len(shares) >= 3 and shares == sorted(shares)


def test_mistakes_are_named(sample):
    images, labels = sample
    spec = attack(members=["fgsm"])
    with pytest.raises(AttackError, match="'pruthi' is for texts"):
        attack_images(trained(), images, labels, ATTACKS.get("pruthi"), seed=0)
    with pytest.raises(AttackError, match="divide by 255"):
        attack_images(trained(), images * 255, labels, spec, seed=0)
    with pytest.raises(AttackError, match="outside of the model's 10 classes"):
        attack_images(trained(), images, labels + 3, spec, seed=0)


def test_no_images(sample):
    images, labels = sample
    result = attack_images(trained(), images[:0], labels[:0], attack(members=["fgsm", QUICK["square"]]), seed=0)
    assert result.outcomes == [] and summarize_images(result)["accuracy_under_attack"] == 0


@pytest.mark.parametrize(
    "member",
    [
        {"algorithm": "pgd", "steps": 40, "patience": 6},
        {"algorithm": "apgd-ce", "steps": 40, "patience": 9},
        {"algorithm": "square", "queries": 200, "patience": 20, "rescale": True},
    ],
    ids=lambda member: member["algorithm"],
)
def test_patience_saves_queries_on_hopeless_images_alone(member, sample):
    images, labels = sample
    plain, patient = (
        attack_images(
            trained(), images, labels, attack(epsilon=0.05, members=[{**member, "patience": patience}]), seed=0
        )
        for patience in (None, member["patience"])
    )
    broken, kept = (np.array(result.outcomes) == "success" for result in (plain, patient))
    assert (plain.queries[kept] == patient.queries[kept]).all(), "who is broken was never given up"
    assert not (kept & ~broken).any() and (kept ^ broken).sum() <= 1
    assert patient.queries[~broken].sum() < 0.8 * plain.queries[~broken].sum()
    assert (patient.queries[~kept] > member["patience"]).all()


def test_patience_counts_the_queries_in_a_row_that_helped_nothing(sample):
    """The first look lowers every margin from infinity; one image then makes progress once, and the count restarts."""
    images, labels = sample
    step = attack_images(trained(), images, labels, attack(epsilon=0.01, members=["fgsm"]), seed=0)
    one, other = np.flatnonzero(np.array(step.outcomes) == "failed")[:2].tolist()
    pair = torch.tensor([one, other])
    victim = Victim(trained(), images[pair], labels[pair], "Linf", 0.01, patience=3)
    moved = torch.stack([step.images[one], images[other]])
    with torch.no_grad():
        for inputs in (images[pair], images[pair], moved, images[pair]):
            victim(inputs)
        assert victim.stalled.tolist() == [1, 3] and victim.live.tolist() == [True, False]
        victim(moved)
        with pytest.raises(Finished):
            victim(moved)
    assert victim.queries.tolist() == [6, 4] and victim.standing.all()


@pytest.mark.parametrize("name", ["pgd", "apgd-t", "fab-t", "square"])
def test_images_with_the_channels_last(name, sample):
    """How images of a table lie in memory; torchattacks takes views that such tensors do not have."""
    images, labels = (part.repeat(1, 3, 1, 1) if part.ndim == 4 else part for part in sample)
    model = Around(trained(), before=lambda x: x.mean(1, keepdim=True)).to(memory_format=torch.channels_last)
    spec = attack(norm="L2", epsilon=0.8, members=[QUICK[name]])
    last = images.contiguous(memory_format=torch.channels_last)
    result = attack_images(model, last, labels, spec, seed=0)
    assert result.outcomes == attack_images(model, images, labels, spec, seed=0).outcomes
    assert "success" in result.outcomes
