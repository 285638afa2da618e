"""One attack on one victim, whatever it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Unpack

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdbench.attacks.image_checks import check_images
from kdbench.attacks.image_state import StateFile
from kdbench.attacks.images import attack_images, summarize_images
from kdbench.attacks.outcomes import AttackOutcome, QuestionOutcome, summarize, summarize_questions, summarize_reduction
from kdbench.attacks.settings import SearchSettings
from kdbench.attacks.spec import AttackSpec
from kdbench.attacks.text import Column
from kdbench.cells.data import AnyExamples
from kdbench.evaluations.question_attack import attack_reader
from kdbench.evaluations.text_attack import attack_classifier
from kdbench.tasks.dataset import ImageExamples, SpanExamples, TextExamples
from kdbench.victims.folder import Victim

Report = Callable[[str, float], None]
"""Told what is going on (the algorithm of an image attack, else nothing), and the share of it that is done."""


@dataclass(frozen=True)
class Attacked:
    """What an attack left.

    Attributes:
        table: one row for each example, classes in the task's order.
        metrics: as evaluations report them.
        images: adversarial ones, ``(n, channels, height, width)`` float32 in [0, 1]; nothing for texts.
        flags: doubts about the attack, or how its numbers are to be read.
        details: what else is worth keeping, plain data.
    """

    table: pd.DataFrame
    metrics: dict[str, float]
    images: Tensor | None = None
    flags: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


def attack_victim(
    victim: Victim,
    examples: AnyExamples,
    attack: AttackSpec,
    *,
    perturb: Column,
    state: StateFile | None,
    report: Report,
    **settings: Unpack[SearchSettings],
) -> Attacked:
    """Attack a model where it is.

    Args:
        examples: of the victim's task, classes in the task's order.
        attack: of the task's kind.
        perturb: which text of a pair changes.
        state: where an attack on images keeps what it has found so far.
        report: progress.
        settings: query budget, seed and the like; its ``progress`` is what ``report`` is told.

    Raises:
        AttackError: the attack cannot run here, or not on this victim.
    """
    if victim.order is not None:
        examples = replace(examples, labels=victim.order.outputs[examples.labels])
    if isinstance(examples, ImageExamples):
        found = _attack_images(victim, examples, attack, settings["seed"], state, report)
    else:
        assert isinstance(victim.model, PreTrainedModel)

        settings["progress"] = lambda done: report("", done / len(examples))
        if isinstance(examples, SpanExamples):
            questions = attack_reader(victim.model, victim.reader, examples, attack, **settings)
            return _of_texts(questions, summarize_questions(questions))
        assert isinstance(examples, TextExamples)
        texts = attack_classifier(victim.model, victim.reader, examples, attack, perturb=perturb, **settings)
        found = _of_texts(texts, (summarize_reduction if attack.goal == "reduction" else summarize)(texts))
    assert victim.order is not None
    classes = victim.order.classes
    renamed = {name: classes[found.table[name].to_numpy()] for name in ("label", "predicted", "adversarial")}
    return replace(found, table=found.table.assign(**renamed))


def _of_texts(outcomes: Sequence[AttackOutcome] | Sequence[QuestionOutcome], summary: Mapping[str, float]) -> Attacked:
    metrics = {name: float(value) for name, value in summary.items() if name != "examples"}
    return Attacked(pd.DataFrame([asdict(outcome) for outcome in outcomes]), metrics)


def _attack_images(
    victim: Victim, examples: ImageExamples, attack: AttackSpec, seed: int, state: StateFile | None, report: Report
) -> Attacked:
    rows = np.arange(len(examples))
    images = victim.reader.encode(examples).collate(rows)["pixel_values"].contiguous()
    labels = torch.from_numpy(examples.labels)
    result = attack_images(victim.model, images, labels, attack, seed=seed, state=state, progress=report)
    flags = check_images(victim.model, images, labels, attack, result, seed=seed)
    return Attacked(
        pd.DataFrame({"id": examples.ids, **result.columns()}),
        summarize_images(result),
        result.images,
        (*result.notes, *flags),
        {"accuracy_after": result.after, "security_curve": [list(point) for point in result.curve]},
    )
