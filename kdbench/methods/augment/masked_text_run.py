"""MATE-KD's augmenter at work (Rashid et al., ACL 2021).

Masked positions are filled with samples of a masked-LM generator. For the generator's own updates
the sample is a straight-through Gumbel-softmax: one-hot forward, soft backward, multiplied with each
model's own word embeddings. For the student's updates no gradient reaches the generator, so the
sample is plain token ids, which costs neither a ``(tokens, vocabulary)`` product nor embeddings.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from transformers import PreTrainedModel

from kdbench.errors import ModelError
from kdbench.hashing import derive_seed
from kdbench.inputs.base import Inputs
from kdbench.inputs.run import logits_of, run
from kdbench.inputs.text import TokenReader
from kdbench.machine import release_memory
from kdbench.methods.augment.base import AugmenterContext, Batch
from kdbench.methods.augment.inner import autocast, divergence
from kdbench.methods.augment.masked_text import MaskedText
from kdbench.methods.augment.straight_through import StraightThrough, sample_tokens
from kdbench.methods.contract import Context

ROWS = 64  # hidden states are padded to multiples of this: few shapes, as in batches
TRIM_EVERY = 5  # vocabulary-sized buffers fragment the heap faster than the trainer trims it


class MaskedTextRun:
    """One stage with one generator."""

    def __init__(self, settings: MaskedText, context: AugmenterContext) -> None:
        self.settings = settings
        self.context = context
        self.generator = context.generator(settings.warmup_steps).train()
        self.optimizer = torch.optim.AdamW(self.generator.parameters(), lr=settings.generator_learning_rate)
        assert isinstance(context.reader, TokenReader)
        tokenizer = context.reader.tokenizer
        self.special = torch.tensor(sorted(set(tokenizer.all_special_ids)), device=self.generator.device)
        self.mask_token = int(tokenizer.mask_token_id)
        self._updates = 0

    def before_update(self, step: int, teacher: Callable[[], PreTrainedModel]) -> None:
        """At the start of every round, ``generator_steps`` updates that maximise the divergence."""
        if step % self.settings.student_steps:
            return
        self.context.student.requires_grad_(False)
        for _ in range(self.settings.generator_steps):
            self._maximise(teacher())
        self.context.student.requires_grad_(True)

    def augment(self, batch: Batch, step: int) -> Inputs:
        """x': masked tokens replaced by samples of the generator; the teacher and student read ids."""
        inputs = batch.inputs
        with torch.no_grad(), autocast(self.generator, self.context.precision):
            masked, holes = self._mask(inputs, ("student", step))
            logits = masked_logits(self.generator, {**inputs, "input_ids": masked}, holes)
            filled = masked.clone()
            filled[holes] = sample_tokens(self._ordinary_only(logits))
        if step % TRIM_EVERY == 0:
            release_memory()
        return {**inputs, "input_ids": filled}

    def state(self) -> dict[str, Tensor]:
        """Generator weights and its optimizer's moments."""
        tensors = {f"model.{name}": value for name, value in self.generator.state_dict().items()}
        for name, parameter in self.generator.named_parameters():
            for part, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{part}.{name}"] = value
        tensors["updates"] = torch.tensor(self._updates)
        return tensors

    def restore(self, state: dict[str, Tensor]) -> None:
        """Put back what :meth:`state` took."""
        self._updates = int(state["updates"])
        self.generator.load_state_dict({k[6:]: v for k, v in state.items() if k.startswith("model.")})
        for name, parameter in self.generator.named_parameters():
            parts = {
                part: state[f"optimizer.{part}.{name}"]
                for part in ("step", "exp_avg", "exp_avg_sq")
                if f"optimizer.{part}.{name}" in state
            }
            if parts:
                self.optimizer.state[parameter] = parts

    def _maximise(self, teacher: PreTrainedModel) -> None:
        inputs = self.context.batch(self._updates)
        torch.manual_seed(derive_seed("generator", self.context.seed, self._updates))
        with autocast(self.generator, self.context.precision):
            masked, holes = self._mask(inputs, ("generator", self._updates))
            logits = masked_logits(self.generator, {**inputs, "input_ids": masked}, holes)
            models = (self.context.student, teacher)
            words = [model.get_input_embeddings().weight for model in models]
            fillings = StraightThrough.apply(self._ordinary_only(logits), *words)  # type: ignore[no-untyped-call]
            student, target = (
                _run_filled(model, inputs, holes, filling) for model, filling in zip(models, fillings, strict=True)
            )
        mask = Context(inputs=inputs).mask
        regression = self.context.regression
        distance = divergence(self.settings.divergence, student, target, regression=regression, mask=mask)
        self.optimizer.zero_grad()
        (-distance).backward()
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), self.settings.generator_clip_norm)
        self.optimizer.step()
        self._updates += 1

    def _ordinary_only(self, logits: Tensor) -> Tensor:
        """No hole is filled with a special token: padding in mid-sentence would shift a RoBERTa's positions."""
        return logits.index_fill(-1, self.special, -torch.inf)

    def _mask(self, inputs: Inputs, salt: tuple[str, int]) -> tuple[Tensor, Tensor]:
        """Mask each ordinary token with probability ρ; returns ids and the ``(batch, length)`` holes.

        Questions and answers are not ordinary: what is asked, and what is right, stays. A batch in which chance
        picked nothing gets its first ordinary token masked.
        """
        ids = inputs["input_ids"]
        source = torch.Generator().manual_seed(derive_seed("mask", self.context.seed, *salt))
        coins = torch.rand(ids.shape, generator=source).to(ids.device)
        ordinary = ~torch.isin(ids, self.special)
        if "frozen" in inputs:
            ordinary &= ~inputs["frozen"]
        holes = ordinary & (coins < self.settings.mask_rate)
        if not holes.any() and ordinary.any():
            first = ordinary.flatten().nonzero()[0]
            holes.view(-1)[first] = True
        return ids.masked_fill(holes, self.mask_token), holes


def _run_filled(model: PreTrainedModel, inputs: Inputs, holes: Tensor, filling: Tensor) -> Tensor:
    """Logits on inputs whose holes hold ``filling``, ``(holes, width)`` in the model's own word embeddings."""
    embedded = model.get_input_embeddings()(inputs["input_ids"])
    embedded = embedded.masked_scatter(holes.unsqueeze(-1), filling.to(embedded.dtype))
    others = {name: value for name, value in inputs.items() if name != "input_ids"}
    return logits_of(run(model, others, inputs_embeds=embedded), inputs)


def masked_logits(model: PreTrainedModel, inputs: Inputs, holes: Tensor) -> Tensor:
    """Vocabulary logits at the ``True`` positions of ``holes`` only, ``(holes, vocabulary)``.

    The vocabulary projection is most of a small masked-LM's work, so it is done where it is needed.
    """
    hidden = run(model.base_model, inputs).last_hidden_state[holes]
    return _vocabulary_logits(model, F.pad(hidden, (0, 0, 0, -len(hidden) % ROWS)))[: len(hidden)]


def _vocabulary_logits(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    for head in ("cls", "lm_head"):
        if hasattr(model, head):
            logits: Tensor = getattr(model, head)(hidden)
            return logits
    if not hasattr(model, "vocab_projector"):
        raise ModelError(
            f"generator {type(model).__name__}: its masked-LM head is not that of BERT, RoBERTa or DistilBERT"
        )
    hidden = model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
    projected: Tensor = model.vocab_projector(hidden)
    return projected
