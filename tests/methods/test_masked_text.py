"""MATE-KD's augmenter at work on tiny models: what is masked, what is sampled, and which way the game goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
)

from kdbench.inputs.base import Inputs
from kdbench.inputs.text import TextReader
from kdbench.methods.augment.base import AugmenterContext, Batch
from kdbench.methods.augment.masked_text import MaskedText
from kdbench.methods.augment.masked_text_run import MaskedTextRun, masked_logits
from kdbench.methods.contract import Outputs
from kdbench.models.tiny import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
SPECIAL = torch.tensor(TOKENIZER.all_special_ids)
SENTENCES = ["the movie is great", "a terrible film", "it was not bad and the rest of it is no good at all", "so good"]
FAMILIES = ["bert", "roberta", "distilbert"]
SETTINGS = MaskedText(
    divergence="soft-ce",
    mask_rate=0.3,
    generator_steps=2,
    student_steps=5,
    generator_learning_rate=1e-3,
    generator_clip_norm=5.0,
    warmup_steps=0,
)


def _config(family: str, hidden: int = 16, layers: int = 2) -> PretrainedConfig:
    """A tiny architecture over the tiny vocabulary, without dropout."""
    common: dict[str, Any] = {"vocab_size": len(TOKENIZER), "pad_token_id": 0, "max_position_embeddings": 80}
    if family == "distilbert":
        sizes = {"dim": hidden, "n_layers": layers, "n_heads": 2, "hidden_dim": 2 * hidden}
        return DistilBertConfig(**common, **sizes, dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0)
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "intermediate_size": 2 * hidden}
    sizes["num_attention_heads"] = 2
    cls = BertConfig if family == "bert" else RobertaConfig
    return cls(**common, **sizes, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def _classifier(family: str, seed: int, outputs: int = 3, hidden: int = 16) -> PreTrainedModel:
    """Large embeddings and head, so that the tokens matter to the logits."""
    torch.manual_seed(seed)
    config = _config(family, hidden)
    config.num_labels = outputs
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    return model.eval()


def _generator(family: str = "bert", seed: int = 7) -> PreTrainedModel:
    torch.manual_seed(seed)
    return AutoModelForMaskedLM.from_config(_config(family))


def _inputs(texts: list[str] = SENTENCES, family: str = "bert") -> Inputs:
    batch = dict(TOKENIZER(texts, padding=True, return_tensors="pt"))
    if family != "bert":
        del batch["token_type_ids"]
    return batch


@dataclass
class Game:
    """One augmenter with the models it plays with."""

    run: MaskedTextRun
    student: PreTrainedModel
    teacher: PreTrainedModel
    generator: PreTrainedModel

    @classmethod
    def start(
        cls,
        settings: MaskedText = SETTINGS,
        *,
        family: str = "bert",
        seed: int = 0,
        outputs: int = 3,
        generator: PreTrainedModel | None = None,
        texts: list[str] = SENTENCES,
    ) -> Game:
        """Student of width 16, teacher of width 24."""
        student, teacher = _classifier(family, 1, outputs), _classifier(family, 2, outputs, hidden=24)
        teacher.requires_grad_(False)
        made = generator or _generator(family)
        context = AugmenterContext(
            student=student,
            reader=TextReader(TOKENIZER, 64),
            generator=lambda steps: made,
            batch=lambda number: _inputs(texts, family),
            regression=outputs == 1,
            seed=seed,
            precision="fp32",
        )
        run = settings.start(context)
        assert isinstance(run, MaskedTextRun)
        return cls(run, student, teacher, made)

    def before_update(self, step: int) -> None:
        """The generator's turn."""
        self.run.before_update(step, lambda: self.teacher)

    def augment(self, inputs: Inputs, step: int) -> Inputs:
        """x' of a batch; masked text looks at neither labels nor the teacher."""
        count = len(inputs["input_ids"])
        batch = Batch(inputs, torch.zeros(count), Outputs(torch.zeros(count, 3)), lambda: self.teacher)
        return self.run.augment(batch, step)


@contextmanager
def _calls(module: torch.nn.Module) -> Iterator[list[tuple[dict[str, Any], Any]]]:
    """Keyword arguments and result of every forward of a module, while the block runs."""
    seen: list[tuple[dict[str, Any], Any]] = []
    handle = module.register_forward_hook(lambda _m, _a, kwargs, out: seen.append((kwargs, out)), with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def _weights(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(value, right[name]) for name, value in left.items())


def _read_ids(embedded: Tensor, model: PreTrainedModel) -> Tensor:
    """The token ids whose rows of the model's word embeddings ``embedded`` holds."""
    distances = torch.cdist(embedded.detach(), model.get_input_embeddings().weight.detach()[None])
    assert distances.min(-1).values.max() < 1e-3  # every position is exactly one word, none is a mixture
    return distances.argmin(-1)


def test_about_thirty_percent_of_ordinary_tokens_are_masked_and_no_special_one() -> None:
    """[CLS], [SEP] and padding stay; the generator reads [MASK] in the holes and the text elsewhere."""
    game, inputs = Game.start(), _inputs(SENTENCES * 200)
    with _calls(game.generator.base_model) as calls:
        game.augment(inputs, 0)
    read = calls[0][0]["input_ids"]
    holes = read != inputs["input_ids"]
    ordinary = ~torch.isin(inputs["input_ids"], SPECIAL)
    assert (read[holes] == TOKENIZER.mask_token_id).all() and not (holes & ~ordinary).any()
    count = int(ordinary.sum())
    assert abs(int(holes.sum()) / count - 0.3) < 4 * (0.21 / count) ** 0.5  # four standard errors


def test_augmented_text_differs_in_masked_positions_only() -> None:
    """The original and every other input stay as they are."""
    game, inputs = Game.start(), _inputs(SENTENCES * 20)
    before = {name: value.clone() for name, value in inputs.items()}
    with _calls(game.generator.base_model) as calls:
        augmented = game.augment(inputs, 3)
    holes = calls[0][0]["input_ids"] != inputs["input_ids"]
    assert _same(before, inputs)
    changed = augmented["input_ids"] != inputs["input_ids"]
    assert changed.any() and not (changed & ~holes).any()
    assert _same({**augmented, "input_ids": before["input_ids"]}, before)


def test_augmenting_needs_no_gradient_and_trains_nothing() -> None:
    """The student's updates never reach the generator."""
    game = Game.start()
    before = _weights(game.generator)
    augmented = game.augment(_inputs(), 0)
    game.student(**augmented).logits.sum().backward()
    assert _same(before, _weights(game.generator))
    assert all(parameter.grad is None for parameter in game.generator.parameters())


def test_masks_depend_on_seed_and_step_alone() -> None:
    """The same update masks the same positions, another update or seed others."""

    def holes(seed: int, step: int) -> Tensor:
        game = Game.start(seed=seed)
        with _calls(game.generator.base_model) as calls:
            game.augment(_inputs(SENTENCES * 5), step)
        return calls[0][0]["input_ids"] == TOKENIZER.mask_token_id

    assert torch.equal(holes(0, 4), holes(0, 4))
    assert not torch.equal(holes(0, 4), holes(0, 5)) and not torch.equal(holes(0, 4), holes(1, 4))


def test_a_batch_that_chance_spared_gets_its_first_ordinary_token_masked() -> None:
    """Otherwise there would be nothing to train on."""
    game, inputs = Game.start(replace(SETTINGS, mask_rate=1e-9)), _inputs()
    with _calls(game.generator.base_model) as calls:
        game.augment(inputs, 0)
    assert (calls[0][0]["input_ids"] != inputs["input_ids"]).nonzero().tolist() == [[0, 1]]


def test_a_batch_of_empty_texts_stays_as_it_is() -> None:
    """Nothing but special tokens: no hole, no crash."""
    inputs = _inputs(["", ""])
    augmented = Game.start().augment(inputs, 0)
    assert _same(augmented, inputs)


def test_samples_follow_the_generators_distribution() -> None:
    """Gumbel-max at temperature 1: frequencies in 4000 draws of each hole match the softmax."""
    generator = _generator()
    with torch.no_grad():
        generator.cls.predictions.bias.copy_(torch.randn(len(TOKENIZER), generator=torch.Generator().manual_seed(5)))
        generator.cls.predictions.bias[SPECIAL] = -20  # whether they may be sampled at all is another question
    game = Game.start(replace(SETTINGS, mask_rate=1 - 1e-9), generator=generator)
    inputs = _inputs(["the film"] * 4000)
    torch.manual_seed(0)
    sampled = game.augment(inputs, 0)["input_ids"]
    masked = inputs["input_ids"][:1].clone()
    masked[0, 1:-1] = TOKENIZER.mask_token_id
    with torch.no_grad():
        logits = generator(input_ids=masked, attention_mask=torch.ones_like(masked)).logits[0]
    for position in (1, 2):
        found = np.bincount(sampled[:, position].numpy(), minlength=len(TOKENIZER)) / 4000
        assert 0.5 * np.abs(found - softmax(logits[position].numpy())).sum() < 0.08


@pytest.mark.parametrize("family", FAMILIES)
def test_straight_through_forward_equals_reading_the_sampled_ids(family: str) -> None:
    """Student and teacher see the same words, each through its own word embeddings."""
    game, inputs = Game.start(family=family), _inputs(family=family)
    with _calls(game.generator.base_model) as read, _calls(game.student) as student, _calls(game.teacher) as teacher:
        game.before_update(0)
    assert len(student) == len(teacher) == SETTINGS.generator_steps
    holes = read[0][0]["input_ids"] == TOKENIZER.mask_token_id
    (seen, out), (teacher_seen, teacher_out) = student[0], teacher[0]
    ids = _read_ids(seen["inputs_embeds"], game.student)
    assert torch.equal(ids, _read_ids(teacher_seen["inputs_embeds"], game.teacher))
    assert torch.equal(ids[~holes], inputs["input_ids"][~holes]) and (ids[holes] != inputs["input_ids"][holes]).any()
    plain = {**inputs, "input_ids": ids}
    assert not (ids[holes] == TOKENIZER.pad_token_id).any()  # see the test on special tokens
    with torch.no_grad():
        torch.testing.assert_close(game.student(**plain).logits, out.logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(game.teacher(**plain).logits, teacher_out.logits, atol=1e-4, rtol=1e-4)


def test_holes_are_never_filled_with_padding() -> None:
    """A sampled [PAD] shifts all later positions of a RoBERTa that reads ids, but not of one that reads embeddings."""
    generator = _generator()
    with torch.no_grad():
        generator.cls.predictions.bias[TOKENIZER.pad_token_id] += 20
    inputs = _inputs()
    augmented = Game.start(generator=generator).augment(inputs, 0)["input_ids"]
    assert torch.equal(augmented == TOKENIZER.pad_token_id, inputs["input_ids"] == TOKENIZER.pad_token_id)


@pytest.mark.parametrize("outputs", [3, 1])
def test_generator_updates_touch_the_generator_only(outputs: int) -> None:
    """Student and teacher keep their weights and get no gradients; the student can train again afterwards."""
    game = Game.start(outputs=outputs)
    models = (game.student, game.teacher)
    before, generator = [_weights(model) for model in models], _weights(game.generator)
    game.before_update(0)
    assert all(_same(old, _weights(model)) for old, model in zip(before, models, strict=True))
    assert all(parameter.grad is None for model in models for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in game.student.parameters())
    assert not any(parameter.requires_grad for parameter in game.teacher.parameters())
    unmoved = [name for name, value in _weights(game.generator).items() if torch.equal(value, generator[name])]
    assert not [name for name in unmoved if "position_ids" not in name and "token_type" not in name]


def test_rounds_start_at_every_multiple_of_the_students_steps() -> None:
    """2 generator updates before updates 0 and 5 of 0 … 9, none in between."""
    game = Game.start()
    counts = []
    for step in range(10):
        with _calls(game.student) as calls:
            game.before_update(step)
        counts.append(len(calls))
    assert counts == [2, 0, 0, 0, 0, 2, 0, 0, 0, 0]


def test_every_generator_update_has_a_batch_and_masks_of_its_own() -> None:
    """Batches 0, 1, 2, 3 … over all rounds; the same text is masked in other places each time."""
    game, asked = Game.start(), []
    context = replace(game.run.context, batch=lambda number: asked.append(number) or _inputs())
    run = SETTINGS.start(context)
    with _calls(game.generator.base_model) as calls:
        for step in (0, 5):
            run.before_update(step, lambda: game.teacher)
    masks = [(kwargs["input_ids"] == TOKENIZER.mask_token_id).flatten().tolist() for kwargs, _ in calls]
    assert asked == [0, 1, 2, 3]
    assert all(one != other for index, one in enumerate(masks) for other in masks[:index])


def _divergence(student: Tensor, teacher: Tensor, kind: str) -> float:
    s, t = student.detach().numpy(), teacher.detach().numpy()
    if kind == "mse":
        return float(((s - t) ** 2).mean())
    return float(-(softmax(t, axis=1) * log_softmax(s, axis=1)).sum(1).mean())


CLIMB = replace(SETTINGS, mask_rate=0.9)


def _first_divergence(kind: str, outputs: int, seed: int, generator: PreTrainedModel) -> float:
    """D of the first generator update: the same batch, masks and noise for the same seed."""
    settings = replace(CLIMB, generator_steps=1, divergence=kind)
    game = Game.start(settings, generator=generator, seed=seed, outputs=outputs)
    kept = _weights(generator)
    with _calls(game.student) as student, _calls(game.teacher) as teacher:
        game.before_update(0)
    generator.load_state_dict(kept)
    return _divergence(student[0][1].logits, teacher[0][1].logits, "mse" if outputs == 1 else kind)


@pytest.mark.parametrize(("kind", "outputs"), [("soft-ce", 3), ("mse", 3), ("soft-ce", 1)])
def test_the_generator_climbs(kind: str, outputs: int) -> None:
    """Its updates raise the divergence on the same batches, masks and noise, far beyond chance."""
    generator = _generator()
    before = np.array([_first_divergence(kind, outputs, seed, generator) for seed in range(20, 32)])
    settings = replace(CLIMB, generator_steps=40, generator_learning_rate=2e-2, divergence=kind)
    game = Game.start(settings, generator=generator, outputs=outputs)
    game.before_update(0)
    after = np.array([_first_divergence(kind, outputs, seed, generator) for seed in range(20, 32)])
    gain = after - before
    assert gain.mean() > 5 * gain.std() / len(gain) ** 0.5


def test_generator_gradients_are_clipped() -> None:
    """The norm never exceeds the setting."""
    norms: list[float] = []

    def note(optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.linalg.vector_norm(torch.stack([g.norm() for g in grads]))))

    game = Game.start(replace(SETTINGS, generator_clip_norm=1e-3))
    game.run.optimizer.register_step_pre_hook(note)
    game.before_update(0)
    assert len(norms) == 2 and max(norms) <= 1.001e-3


def test_state_and_restore_continue_the_game_bit_for_bit() -> None:
    """Generator, optimizer and the number of updates; the second run gets another generator first."""
    straight = Game.start()
    for step in (0, 5):
        straight.before_update(step)
    broken = Game.start()
    broken.before_update(0)
    state = {name: value.clone() for name, value in broken.run.state().items()}
    resumed = Game.start(generator=_generator(seed=8))
    resumed.run.restore(state)
    resumed.before_update(5)
    assert _same(_weights(straight.generator), _weights(resumed.generator))
    assert _same(straight.run.state(), resumed.run.state())


def test_the_game_is_reproducible() -> None:
    """The state of the global random generator does not matter."""
    first, second = Game.start(), Game.start()
    for noise, game in enumerate((first, second)):
        torch.manual_seed(noise)
        game.before_update(0)
    assert _same(_weights(first.generator), _weights(second.generator))


@pytest.mark.parametrize("family", FAMILIES)
def test_masked_logits_are_the_full_logits_at_the_holes(family: str) -> None:
    """The vocabulary projection is done where it is needed, with every layer of the head."""
    model, inputs = _generator(family).eval(), _inputs(family=family)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        holes = torch.rand(inputs["input_ids"].shape, generator=torch.Generator().manual_seed(2)) < 0.4
        full = model(**inputs).logits
        torch.testing.assert_close(masked_logits(model, inputs, holes), full[holes], atol=1e-5, rtol=1e-5)
