"""The trainer on questions: start and end logits of teachers, cached or live, and what augmenters may touch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from kdbench.checks.training import TinyTask
from kdbench.inputs.base import CLOSED
from kdbench.inputs.spans import EncodedSpans
from kdbench.methods import Leg, LogitMSE, Stage
from kdbench.methods.augment.base import Batch
from kdbench.methods.contract import Outputs
from kdbench.methods.registry import METHODS
from kdbench.methods.stages import TeacherRef
from kdbench.models.build import load_model
from kdbench.training.predict import predict
from kdbench.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]
LATE, HELPER = TeacherRef("checkpoint", 2), TeacherRef("assistant")
CORE = [
    "finetune", "kd", "takd", "rco", "annealing", "prokd", "mate", "combined", "checkpoint-kd", "continuation",
    "logit-mse", "label-smoothing", "random-teacher", "logit-std", "sp", "rkd", "pkd", "distilbert", "tinybert",
    "minilm", "rail", "freelb-kd", "prokd+mate",
]  # fmt: skip


def _data(trainer: Trainer) -> EncodedSpans:
    assert isinstance(trainer.data.train, EncodedSpans)
    return trainer.data.train


@pytest.mark.parametrize("ref", [LATE, HELPER], ids=["checkpoint", "assistant"])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_cached_answers_equal_live_ones(
    make_trainer: MakeTrainer, span_task: TinyTask, ref: TeacherRef, scale: float
) -> None:
    """Also scaled, when what is closed must be as closed as in the student."""
    trainer = make_trainer(span_task, "kd")
    leg = Leg(1, ref, scale)
    for update in range(trainer.stream.per_epoch):
        rows = trainer.stream.batch(update)
        inputs = _data(trainer).collate(rows)
        live = trainer.teaching.answers(Stage("s", (leg,), LogitMSE()), leg, inputs).logits
        cached = trainer.teaching.cached_answers(leg, torch.from_numpy(rows), None, inputs).logits
        torch.testing.assert_close(cached, live, atol=1e-5, rtol=1e-4)
        closed = ~inputs["answerable"][:, None, :].expand_as(live)
        assert (live[closed] == CLOSED).all() and (live[~closed] > CLOSED / 2).all()


def test_the_first_update_of_kd_is_the_formula(
    make_trainer: MakeTrainer, make_model: Callable[..., Any], span_task: TinyTask
) -> None:
    """α·CE + (1-α)·T²·KL, each the mean over rows and over starts and ends, by loops over the real positions."""
    model = make_model(kind="question-answering", dropout=False)
    teacher = load_model(span_task.folders[LATE][1])
    method = {"kd": {"alpha": 0.3, "temperature": 2.0, "teacher": "final"}}
    trainer = make_trainer(span_task, "kd", model=model, settings=method)
    rows = trainer.stream.batch(0)
    data = _data(trainer)
    hard, soft = [], []
    for row in rows:
        first, stop = data.context[row]
        real = [0, *range(first, stop)]
        inputs = data.collate(np.array([row]))
        inputs = {name: inputs[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
        with torch.inference_mode():
            mine, theirs = model.eval()(**inputs), teacher(**inputs)
        for side, name in enumerate(("start_logits", "end_logits")):
            student, target = mine[name][0, real].double(), theirs[name][0, real].double()
            hard.append(-student.log_softmax(0)[real.index(data.labels[row, side])])
            log_p, log_q = (target / 2).log_softmax(0), (student / 2).log_softmax(0)
            soft.append(4 * (log_p.exp() * (log_p - log_q)).sum())
    stage = trainer.stages[0]
    terms = trainer._update(trainer._start(stage, {}), 0)
    assert terms["hard"].item() == pytest.approx(0.3 * torch.stack(hard).mean().item(), rel=1e-4)
    assert terms["soft"].item() == pytest.approx(0.7 * torch.stack(soft).mean().item(), rel=1e-4)


def test_logit_mse_is_a_mean_over_what_can_be_an_answer(make_trainer: MakeTrainer, span_task: TinyTask) -> None:
    """Neither questions nor padding count: the wider the batch, the smaller it would be."""
    trainer = make_trainer(span_task, "kd")
    data = _data(trainer)
    rows = np.array([int(data.lengths.argmin()), int(data.lengths.argmax())])
    inputs = data.collate(rows)
    made = torch.Generator().manual_seed(0)
    student, teacher = torch.randn((2, 2, 2, inputs["input_ids"].shape[1]), generator=made)
    real = inputs["answerable"]
    by_row = [((student - teacher)[i][:, real[i]] ** 2).mean() for i in range(2)]
    closed = [logits.masked_fill(~real[:, None, :], CLOSED) for logits in (student, teacher)]
    from kdbench.methods.contract import Context

    found = LogitMSE().soft(Outputs(closed[0]), Outputs(closed[1]), Context(inputs=inputs))["soft"]
    assert found.item() == pytest.approx(torch.stack(by_row).mean().item(), rel=1e-6)
    assert F.mse_loss(*closed).item() < 0.9 * found.item()


@pytest.mark.parametrize("method", ["mate", "combined"])
def test_generators_rewrite_the_context_and_spare_question_and_answer(
    make_trainer: MakeTrainer, span_task: TinyTask, method: str
) -> None:
    """What is asked, and what is right, stays; the rest of the context is masked at the given rate."""
    settings = {method: {"mask_rate": 0.6, "warmup_steps": 0}}
    trainer = make_trainer(span_task, method, 12, settings=settings)
    stage = trainer.stages[0]
    running = trainer._start(stage, {})
    data, changed, free = _data(trainer), 0, 0
    assert running.augmenter is not None
    for update in range(6):
        rows = trainer.stream.batch(update)
        inputs = data.collate(rows)
        batch = Batch(inputs, torch.from_numpy(data.labels[rows]), Outputs(torch.zeros(1)), lambda: None)  # type: ignore[arg-type, return-value]
        augmented = running.augmenter.augment(batch, update)
        moved = augmented["input_ids"] != inputs["input_ids"]
        for index, row in enumerate(rows):
            first, stop = data.context[row]
            start, end = data.labels[row]
            context = set(range(first, stop)) - (set(range(start, end + 1)) if start else set())
            assert set(moved[index].nonzero().flatten().tolist()) <= context
            changed, free = changed + int(moved[index].sum()), free + len(context)
    assert 0.4 < changed / free < 0.7


@pytest.mark.parametrize("method", CORE)
def test_every_method_trains_the_reader(make_trainer: MakeTrainer, span_task: TinyTask, method: str) -> None:
    """Finite losses, and a student that changes; what it learns is up to larger data."""
    settings = {"mate": {"warmup_steps": 2, "generator_steps": 1}} if "mate" in method else {}
    if method == "combined":
        settings = {"combined": {"warmup_steps": 2, "generator_steps": 1}}
    trainer = make_trainer(span_task, method, 8, settings=settings)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    result = trainer.run()
    after = trainer.last_weights()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert 0 <= result.score <= 1 and type(result.model).__name__ == "BertForQuestionAnswering"


@pytest.mark.parametrize(
    ("method", "reason"),
    [("dkd", "target is one class"), ("dist", "columns compare"), ("crd", "negatives are examples of other classes")],
)
def test_methods_that_make_no_sense_say_why(method: str, reason: str) -> None:
    """At construction, before anything is trained."""
    from kdbench.errors import MethodError

    with pytest.raises(MethodError, match=f"method {method} is not defined for question-answering .*{reason}"):
        METHODS.build(method, kind="question-answering")


def test_a_student_learns_to_answer(make_trainer: MakeTrainer, span_task: TinyTask) -> None:
    """Enough updates on few questions: it finds their answers again, which chance would hardly do."""
    trainer = make_trainer(span_task, "finetune", 250, selections=1)
    trainer.run()
    trainer.model.load_state_dict(trainer.last_weights())
    data = _data(trainer)
    logits = predict(trainer.model, data)
    right = []
    for row, (start, end) in enumerate(data.labels):
        window = logits[data.starts[row] : data.starts[row + 1]]
        right.append((window.argmax(0) == (start, end)).all())
    assert np.mean(right) > 0.6
