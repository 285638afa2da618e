"""FreeLB's augmenter at work on tiny models: norms, padding, the climb, and where the gradients go."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
)

from kdbench.inputs.base import Inputs
from kdbench.methods.augment.adversarial_embeddings import AdversarialEmbeddings
from kdbench.methods.augment.adversarial_embeddings_run import norms, unit
from kdbench.methods.augment.base import AugmenterContext, Batch
from kdbench.methods.contract import Outputs
from kdbench.models.tiny import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
SENTENCES = ["the movie is great", "a terrible film", "it was not bad and the rest of it is no good at all", "so good"]
FAMILIES = ["bert", "roberta", "distilbert"]
WIDTH = 16
SETTINGS = AdversarialEmbeddings(temperature=2.0, epsilon=0.28, initial_norm=0.16, step_size=0.1, steps=4)


def _student(family: str = "bert", outputs: int = 3, dropout: float = 0.0) -> PreTrainedModel:
    """A tiny classifier whose embeddings matter to its logits."""
    common: dict[str, Any] = {"vocab_size": len(TOKENIZER), "pad_token_id": 0, "max_position_embeddings": 80}
    config: PretrainedConfig
    if family == "distilbert":
        sizes = {"dim": WIDTH, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
        config = DistilBertConfig(**common, **sizes, dropout=dropout, attention_dropout=dropout)
        config.seq_classif_dropout = dropout
    else:
        sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "intermediate_size": 32, "num_attention_heads": 2}
        cls = BertConfig if family == "bert" else RobertaConfig
        config = cls(**common, **sizes, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    config.num_labels = outputs
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    return model.train()


def _batch(family: str = "bert", outputs: int = 3, texts: list[str] = SENTENCES) -> Batch:
    inputs = dict(TOKENIZER(texts, padding=True, return_tensors="pt"))
    if family != "bert":
        del inputs["token_type_ids"]
    logits = torch.randn(len(texts), outputs, generator=torch.Generator().manual_seed(2)) * 2

    def refuse() -> Any:
        raise AssertionError("the teacher's answer is known")

    return Batch(inputs, torch.zeros(len(texts), dtype=torch.long), Outputs(logits), refuse)


def _augment(
    student: PreTrainedModel,
    batch: Batch,
    settings: AdversarialEmbeddings = SETTINGS,
    *,
    seed: int = 0,
    step: int = 0,
    precision: str = "fp32",
) -> Inputs:
    def unwanted(_: int) -> Any:
        raise AssertionError("embeddings need neither a generator nor other batches")

    regression = batch.teacher.logits.shape[1] == 1
    context = AugmenterContext(student, None, unwanted, unwanted, regression, seed, precision)  # type: ignore[arg-type]
    run = settings.start(context)
    run.before_update(step, batch.teacher_model)
    assert run.state() == {}
    return run.augment(batch, step)


def _deltas(
    student: PreTrainedModel, batch: Batch, settings: AdversarialEmbeddings = SETTINGS, **options: Any
) -> Tensor:
    """``(K, batch, tokens, width)``: what was added to the words."""
    words = student.get_input_embeddings()(batch.inputs["input_ids"])
    views = _augment(student, batch, settings, **options)["inputs_embeds"]
    return (views.view(settings.steps, *words.shape) - words).detach()


def test_views_are_stacked_whole_and_everything_else_is_repeated() -> None:
    """K times the batch, one view after the other; ids are gone, or the model would refuse."""
    student, batch = _student(), _batch()
    augmented = _augment(student, batch)
    count = len(SENTENCES)
    assert set(augmented) == {"inputs_embeds", "attention_mask", "token_type_ids"}
    for name in ("attention_mask", "token_type_ids"):
        assert torch.equal(augmented[name], batch.inputs[name].repeat(SETTINGS.steps, 1))
    assert augmented["inputs_embeds"].shape == (SETTINGS.steps * count, *batch.inputs["input_ids"].shape[1:], WIDTH)
    assert student(**augmented).logits.shape == (SETTINGS.steps * count, 3)
    assert set(batch.inputs) == {"input_ids", "attention_mask", "token_type_ids"}


def test_padding_is_untouched_and_norms_are_bounded() -> None:
    """Per text, whatever its length: the start within its own norm, the ascended views within ε."""
    student, batch = _student(), _batch()
    deltas = _deltas(student, batch)
    real = batch.inputs["attention_mask"].bool()
    assert (deltas[:, ~real] == 0).all() and (deltas[:, real].abs().sum(-1) > 0).all()
    lengths = deltas.flatten(2).norm(dim=-1)
    assert (lengths[0] <= SETTINGS.initial_norm).all() and (lengths[0] > 0.3 * SETTINGS.initial_norm).all()
    assert (lengths <= SETTINGS.epsilon + 1e-5).all()
    wide = AdversarialEmbeddings(2.0, epsilon=0.2, initial_norm=0.1, step_size=0.5, steps=2)
    torch.testing.assert_close(_deltas(student, batch, wide)[1].flatten(1).norm(dim=1), torch.full((4,), 0.2))


def test_the_start_is_uniform() -> None:
    """U(-r, r) / sqrt(tokens times width), algorithm 1 of the paper; long and short texts alike."""
    batch = _batch(texts=["the movie is great " * 10, "good"] * 20)
    delta = _deltas(_student(), batch)[0]
    sizes = batch.inputs["attention_mask"].sum(1) * WIDTH
    for row, size in list(zip(delta, sizes, strict=True))[:4]:
        noise = row[row.abs().sum(-1) > 0] * size.sqrt() / SETTINGS.initial_norm
        assert noise.numel() == size and noise.abs().max() <= 1 + 1e-5
    noise = torch.cat(
        [row.flatten() * size.sqrt() / SETTINGS.initial_norm for row, size in zip(delta, sizes, strict=True)]
    )
    noise = noise[noise != 0]
    assert noise.mean().abs() < 0.02 and noise.var().item() == pytest.approx(1 / 3, rel=0.05)


@pytest.mark.parametrize("outputs", [3, 1])
def test_every_step_is_the_papers_by_hand(outputs: int) -> None:
    """δ(k+1) = Π(δk + step·g/‖g‖), each text by itself; KL at T for classes, squared error for scores."""
    student, batch = _student(outputs=outputs), _batch(outputs=outputs)
    deltas = _deltas(student, batch)
    words = student.get_input_embeddings()(batch.inputs["input_ids"]).detach()
    for before, after in pairwise(deltas):
        for row in range(len(SENTENCES)):
            others = {k: v[row : row + 1] for k, v in batch.inputs.items() if k != "input_ids"}
            delta = before[row : row + 1].clone().requires_grad_()
            logits = student(inputs_embeds=words[row : row + 1] + delta, **others).logits
            target = batch.teacher.logits[row : row + 1]
            if outputs == 1:
                loss = F.mse_loss(logits, target)
            else:
                loss = F.kl_div((logits / 2).log_softmax(1), (target / 2).softmax(1), reduction="batchmean")
            (gradient,) = torch.autograd.grad(loss, delta)
            moved = (delta + SETTINGS.step_size * gradient / gradient.norm()).detach()
            if moved.norm() > SETTINGS.epsilon:
                moved *= SETTINGS.epsilon / moved.norm()
            torch.testing.assert_close(after[row : row + 1], moved, atol=2e-4, rtol=1e-3)


def test_the_divergence_rises_over_the_views() -> None:
    """KL at the temperature of the loss."""
    student, batch = _student(), _batch()
    logits = student(**_augment(student, batch)).logits.detach().view(SETTINGS.steps, len(SENTENCES), 3)
    target = (batch.teacher.logits / 2).softmax(1)
    found = [F.kl_div((view / 2).log_softmax(1), target, reduction="batchmean").item() for view in logits]
    assert found == sorted(found) and found[-1] > found[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_without_perturbation_a_view_is_the_text(family: str) -> None:
    """Word embeddings in place of ids: the same positions, segments and logits in every family."""
    student, batch = _student(family), _batch(family)
    still = AdversarialEmbeddings(2.0, epsilon=1.0, initial_norm=0.0, step_size=0.1, steps=1)
    with torch.no_grad():
        found, expected = student(**_augment(student, batch, still)).logits, student(**batch.inputs).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_one_update_on_all_views_is_freelbs_average_gradient() -> None:
    """Every parameter, the word embeddings too, gets the mean of the gradients of K separate batches."""
    batch = _batch()
    together, apart = _student(), _student()
    target = batch.teacher.logits.softmax(1)

    def loss(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits, target.repeat(len(logits) // len(target), 1))

    loss(together(**_augment(together, batch)).logits).backward()
    deltas = _deltas(apart, batch)
    others = {name: value for name, value in batch.inputs.items() if name != "input_ids"}
    for delta in deltas:
        words = apart.get_input_embeddings()(batch.inputs["input_ids"])
        (loss(apart(inputs_embeds=words + delta, **others).logits) / len(deltas)).backward()
    words_gradient = together.get_input_embeddings().weight.grad
    used = batch.inputs["input_ids"][batch.inputs["attention_mask"].bool()].unique()
    assert words_gradient is not None and (words_gradient[used].abs().sum(1) > 0).all()
    for one, other in zip(together.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-4, rtol=1e-4)


def test_the_student_is_left_as_it_was() -> None:
    """Weights, modes, flags and gradients."""
    student, batch = _student(dropout=0.1), _batch()
    student.bert.encoder.layer[0].eval().requires_grad_(False)
    for parameter in student.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.full_like(parameter, 0.5)
    old = copy.deepcopy(student)
    _augment(student, batch)
    assert all(torch.equal(value, old.state_dict()[name]) for name, value in student.state_dict().items())
    assert [m.training for m in student.modules()] == [m.training for m in old.modules()]
    assert [p.requires_grad for p in student.parameters()] == [p.requires_grad for p in old.parameters()]
    assert all((p.grad == 0.5).all() if p.requires_grad else p.grad is None for p in student.parameters())


def test_randomness_comes_from_seed_and_step_alone() -> None:
    """Dropout is off while δ is found, so the global generator is neither asked nor moved."""
    student, batch = _student(dropout=0.3), _batch()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = _deltas(student, batch)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(first, _deltas(student, batch))
    for other in ({"seed": 1}, {"step": 1}):
        assert not torch.equal(first[0], _deltas(student, batch, **other)[0])


def test_precision_is_that_of_the_training() -> None:
    """bf16 layers, fp32 perturbations."""
    student, batch, seen = _student(), _batch(), []
    student.bert.encoder.layer[0].attention.self.query.register_forward_hook(lambda _m, _a, out: seen.append(out.dtype))
    views = _augment(student, batch, precision="bf16")["inputs_embeds"]
    assert set(seen) == {torch.bfloat16} and views.dtype == torch.float32


def test_norms_are_safe_at_zero() -> None:
    """A text without gradient does not move, and does not become nan."""
    tensor = torch.zeros(2, 3, 4)
    tensor[1, 0, 0] = -3.0
    assert norms(tensor)[1].item() == 3.0
    assert torch.equal(unit(tensor), tensor / 3)


def test_what_it_needs() -> None:
    """Neither a generator nor a live teacher; the target is the answer to the original text."""
    assert not SETTINGS.needs_generator and not SETTINGS.live_teacher and SETTINGS.generator_updates(100) == 0
    assert (SETTINGS.teacher_reads, SETTINGS.share) == ("original", 1.0)
