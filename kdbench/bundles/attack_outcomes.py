"""Numbers of attacks once more, from what they did to each example."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from kdbench.attacks.outcomes import AttackOutcome, QuestionOutcome, summarize, summarize_questions
from kdbench.bundles.outcomes import Recomputed, read_examples
from kdbench.record import Record
from kdbench.store import Store

if TYPE_CHECKING:
    from kdbench.attacks.image_result import ImageAttackResult


def attacked(store: Store, record: Record, table: pd.DataFrame) -> Recomputed:
    """Attacks, by their kind."""
    spec: dict[str, Any] = record.spec
    attack = spec["attack"]
    if attack["kind"] == "image":
        return _attacked_images(record, table)
    if attack["kind"] == "question":
        questions = [QuestionOutcome(**row) for row in _rows(table, QuestionOutcome)]
        metrics = summarize_questions(questions)
        wrong, broken = table["clean_f1"] < attack["f1_below"], table["f1"] < attack["f1_below"]
    else:
        metrics = summarize([AttackOutcome(**row) for row in _rows(table, AttackOutcome)])
        wrong, broken = table["predicted"] != table["label"], table["adversarial"] != table["label"]
    metrics.pop("examples")
    details = {"examples": len(table), "attack_version": spec["attack_version"]}
    result = Recomputed(metrics, details, {"queries": int(table["queries"].sum())})
    spent = table["queries"] >= spec["query_budget"]
    outcome = np.where(wrong, "skipped", np.where(broken, "success", np.where(spent, "exhausted", "failed")))
    if list(table["outcome"]) != list(outcome):
        result.problems.append("outcomes of the attack are not what the predictions before and after it say")
    return result


def _rows(table: pd.DataFrame, form: type[AttackOutcome | QuestionOutcome]) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], table[[field.name for field in fields(form)]].to_dict("records"))


def _attacked_images(record: Record, table: pd.DataFrame) -> Recomputed:
    import torch

    from kdbench.attacks.image_result import ImageAttackResult, member_names, summarize_images

    spec: dict[str, Any] = record.spec
    attack = spec["attack"]
    result = ImageAttackResult(
        labels=table["label"].to_numpy(),
        predicted=table["predicted"].to_numpy(),
        adversarial=table["adversarial"].to_numpy(),
        broken_by=list(table["broken_by"]),
        broken_at=table["broken_at"].to_numpy(),
        queries=table["queries"].to_numpy(),
        gradients=table["gradients"].to_numpy(),
        norms=table["norm"].to_numpy(),
        images=torch.empty(0),
        members=member_names(member["algorithm"] for member in attack["members"]),
        epsilons=tuple(attack.get("epsilons") or (attack["epsilon"],)),
    )
    recomputed = Recomputed(
        summarize_images(result),
        {"examples": len(table), "attack_version": spec["attack_version"], "accuracy_after": result.after},
        {"queries": int(table["queries"].sum()), "gradients": int(table["gradients"].sum())},
    )
    if attack.get("epsilons"):
        recomputed.details["security_curve"] = [list(point) for point in result.curve]
    recomputed.problems += _contradictions(result, list(table["outcome"]))
    return recomputed


def _contradictions(result: ImageAttackResult, outcomes: list[str]) -> Iterator[str]:
    right = result.predicted == result.labels
    broken = np.array([bool(member) for member in result.broken_by])
    if outcomes != result.outcomes or (broken & ~right).any():
        yield "outcomes of the attack are not what predictions and members say"
    if (result.adversarial[right & broken] == result.labels[right & broken]).any():
        yield "an image counts as broken and is still classified right"
    at = result.broken_at
    possible = np.where(broken, np.isin(at, result.epsilons), np.isposinf(at))
    if not np.where(right, possible, at == 0).all():
        yield "the epsilon that broke an image is not what its outcome and the attack say"
    if (result.norms > 1.001 * np.clip(at, 0, result.epsilons[-1])).any():
        yield "a perturbation is larger than the epsilon at which its image was broken, or than the attack's"


def transferred(store: Store, record: Record, table: pd.DataFrame) -> Recomputed:
    """What was found on the teacher and on the finetune student, replayed."""
    from kdbench.evaluations.transfer import judge

    spec: dict[str, Any] = record.spec
    attacks = {role: read_examples(store, key) for role, key in spec["upstream"].items() if role != "model"}
    found = judge(table, attacks["own"]["outcome"], spec["attack"].get("f1_below"))
    result = Recomputed(found.metrics, found.details, found.cost, flags=found.flags)
    for role, attack in attacks.items():
        who = _ATTACKED[role]
        if list(attack["id"]) != list(table["id"]):
            result.problems.append(f"examples are not those of {who}'s own attack")
        if role != "own" and (role not in table or list(attack["outcome"]) != list(table[role])):
            result.problems.append(f"what the attack did to {who} is not what {who}'s own attack says")
    return result


_ATTACKED = {"source": "the teacher", "baseline": "the finetune student", "own": "the student"}


def rated(store: Store, record: Record, table: pd.DataFrame) -> Recomputed:
    """How far the texts of an attack's successes are from their originals; similarity is believed."""
    from kdbench.attacks.quality import share_of_words_changed
    from kdbench.evaluations.quality import judge

    spec: dict[str, Any] = record.spec
    attack = read_examples(store, spec["upstream"]["attack"])
    successes = attack[attack["outcome"] == "success"]
    found = judge(table)
    result = Recomputed(found.metrics, found.details)
    if list(successes["id"]) != list(table["id"]):
        result.problems.append("examples are not the successes of the attack")
        return result
    changed = share_of_words_changed(successes["words"].to_numpy(), successes["perturbed_words"].to_numpy())
    if not np.allclose(changed, table["words_changed"]):
        result.problems.append("shares of changed words are not what the attack says")
    return result
