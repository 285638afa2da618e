"""Masked-LM warm-up for generators that come without a masked-LM head."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kdbench.hashing import derive_seed
from kdbench.inputs.base import Encoded
from kdbench.inputs.stream import BatchStream
from kdbench.machine import release_memory
from kdbench.methods.augment.masked_text_run import masked_logits


def warm_up(
    generator: PreTrainedModel,
    data: Encoded,
    tokenizer: PreTrainedTokenizerBase,
    *,
    steps: int,
    seed: int,
    batch_size: int,
    precision: str = "fp32",
    mask_rate: float = 0.15,
    learning_rate: float = 5e-4,
) -> list[float]:
    """Train the generator to fill masks in the task's own training text.

    Every chosen token becomes [MASK], as in MATE-KD; the learning rate falls linearly to zero.

    Returns:
        The masked-LM loss of every step, in nats.
    """
    stream = BatchStream(data.lengths, batch_size, derive_seed("warm-up", seed))
    special = torch.tensor(sorted(set(tokenizer.all_special_ids)))
    optimizer = torch.optim.AdamW(generator.parameters(), lr=learning_rate, fused=True)
    generator.train()
    history = []
    for step in range(steps):
        torch.manual_seed(derive_seed("warm-up", seed, step))
        optimizer.param_groups[0]["lr"] = learning_rate * min(1.0, 10 * (step + 1) / steps) * (1 - step / steps)
        inputs = data.collate(stream.batch(step))
        ids = inputs["input_ids"]
        holes = ~torch.isin(ids, special) & (torch.rand(ids.shape) < mask_rate)
        if not holes.any():
            continue
        device = generator.device
        masked = {**inputs, "input_ids": ids.masked_fill(holes, int(tokenizer.mask_token_id))}
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            logits = masked_logits(generator, {k: v.to(device) for k, v in masked.items()}, holes.to(device))
        loss = F.cross_entropy(logits.float(), ids[holes].to(device))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(generator.parameters(), 1.0)
        optimizer.step()
        history.append(loss.item())
        if step % 20 == 0:
            release_memory()
    return history
