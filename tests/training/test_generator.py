"""The generator's warm-up: it learns the task's own text, reproducibly, from masks alone."""

from __future__ import annotations

import numpy as np
import torch
from transformers import PreTrainedModel

from kdbench.checks.training import TinyTask
from kdbench.locations import Locations
from kdbench.models.build import build_generator
from kdbench.models.spec import ModelSource, ModelSpec, TinyBert
from kdbench.models.tiny import tiny_tokenizer
from kdbench.training.generator import warm_up

TOKENIZER = tiny_tokenizer()


def _generator() -> PreTrainedModel:
    spec = ModelSpec(name="g", source=ModelSource(tiny=TinyBert(layers=1, hidden=32)))
    return build_generator(spec, Locations(offline=True), seed=0)[0]


def _warm(task: TinyTask, steps: int, seed: int = 0) -> tuple[list[float], PreTrainedModel]:
    model = _generator()
    options = {"steps": steps, "seed": seed, "batch_size": 16, "learning_rate": 5e-3}
    history = warm_up(model, task.data.train, TOKENIZER, **options)
    return history, model


def test_it_learns_to_fill_masks(task: TinyTask) -> None:
    """From about log |V| nats to much less."""
    history, model = _warm(task, 80)
    vocabulary = model.config.vocab_size
    assert len(history) == 80 and abs(history[0] - np.log(vocabulary)) < 0.5
    assert np.mean(history[-10:]) < 0.75 * np.log(vocabulary)


def test_it_is_reproducible_and_depends_on_the_seed(task: TinyTask) -> None:
    """Whatever the global random state."""
    torch.manual_seed(1)
    first, model = _warm(task, 5)
    torch.manual_seed(2)
    second, again = _warm(task, 5)
    assert first == second and first != _warm(task, 5, seed=1)[0]
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_loss_counts_masked_tokens_only_and_special_tokens_are_never_masked(task: TinyTask) -> None:
    """The generator reads [MASK] in about 15 % of ordinary positions, special tokens as they are."""
    model, read = _generator(), []
    handle = model.base_model.register_forward_pre_hook(
        lambda _m, _a, kwargs: read.append(kwargs["input_ids"]), with_kwargs=True
    )
    warm_up(model, task.data.train, TOKENIZER, steps=40, seed=0, batch_size=16)
    handle.remove()
    special = torch.tensor([i for i in TOKENIZER.all_special_ids if i != TOKENIZER.mask_token_id])
    masked = sum(int((ids == TOKENIZER.mask_token_id).sum()) for ids in read)
    ordinary = masked + sum(int((~torch.isin(ids, special)).sum()) for ids in read) - masked
    assert abs(masked / ordinary - 0.15) < 4 * (0.15 * 0.85 / ordinary) ** 0.5
    for ids in read:
        assert (ids[:, 0] == TOKENIZER.cls_token_id).all()
        assert ((ids == TOKENIZER.sep_token_id).sum(1) == 1).all()
