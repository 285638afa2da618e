"""Numbers of attacks once more, from what they did to each example."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

import numpy as np
import pandas as pd

from kdbench.attacks.outcomes import AttackOutcome, QuestionOutcome, summarize, summarize_questions
from kdbench.bundles.outcomes import Recomputed, read_examples
from kdbench.record import Record
from kdbench.store import Store


def attacked(store: Store, record: Record, table: pd.DataFrame) -> Recomputed:
    """Attacks, by their kind."""
    spec: dict[str, Any] = record.spec
    attack = spec["attack"]
    if attack["kind"] == "image":
        return _attacked_images(record, table)
    if attack["kind"] == "question":
        questions = [QuestionOutcome(**row) for row in _rows(table, QuestionOutcome)]
        metrics = summarize_questions(questions)
        outcome = _outcome(table["clean_f1"] < attack["f1_below"], table["f1"] < attack["f1_below"])
    else:
        metrics = summarize([AttackOutcome(**row) for row in _rows(table, AttackOutcome)])
        outcome = _outcome(table["predicted"] != table["label"], table["adversarial"] != table["label"])
    metrics.pop("examples")
    result = Recomputed(metrics, {"examples": len(table)}, {"queries": int(table["queries"].sum())})
    if list(table["outcome"]) != outcome:
        result.problems.append("outcomes of the attack are not what the predictions before and after it say")
    return result


def _rows(table: pd.DataFrame, form: type[AttackOutcome | QuestionOutcome]) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], table[[field.name for field in fields(form)]].to_dict("records"))


def _outcome(wrong: pd.Series, broken: pd.Series) -> list[str]:
    return list(np.where(wrong, "skipped", np.where(broken, "success", "failed")))


def _attacked_images(record: Record, table: pd.DataFrame) -> Recomputed:
    import torch

    from kdbench.attacks.images import ImageAttackResult, summarize_images

    spec: dict[str, Any] = record.spec
    attack = spec["attack"]
    result = ImageAttackResult(
        labels=table["label"].to_numpy(),
        predicted=table["predicted"].to_numpy(),
        adversarial=table["adversarial"].to_numpy(),
        broken_by=list(table["broken_by"]),
        queries=table["queries"].to_numpy(),
        gradients=table["gradients"].to_numpy(),
        norms=table["norm"].to_numpy(),
        images=torch.empty(0),
        after={},
        notes=(),
    )
    recomputed = Recomputed(
        summarize_images(result),
        {"examples": len(table)},
        {"queries": int(table["queries"].sum()), "gradients": int(table["gradients"].sum())},
    )
    right = result.predicted == result.labels
    broken = np.array([bool(member) for member in result.broken_by])
    if list(table["outcome"]) != result.outcomes or (broken & ~right).any():
        recomputed.problems.append("outcomes of the attack are not what predictions and members say")
    if (table["adversarial"].to_numpy()[right & broken] == result.labels[right & broken]).any():
        recomputed.problems.append("an image counts as broken and is still classified right")
    if float(table["norm"].max()) > 1.001 * attack["epsilon"]:
        recomputed.problems.append("a perturbation is larger than the attack's epsilon")
    recomputed.details["accuracy_after"] = _accuracy_after(attack, right, table["broken_by"])
    return recomputed


def _accuracy_after(attack: dict[str, Any], right: np.ndarray, broken_by: pd.Series) -> dict[str, float]:
    """Accuracy after each member; the second of one algorithm is ``pgd-2``."""
    seen: dict[str, int] = {}
    after, standing = {}, right.copy()
    for member in attack["members"]:
        name = member["algorithm"]
        seen[name] = seen.get(name, 0) + 1
        name += f"-{seen[name]}" if seen[name] > 1 else ""
        standing &= (broken_by != name).to_numpy()
        after[name] = float(standing.mean())
    return after


def transferred(store: Store, record: Record, table: pd.DataFrame) -> Recomputed:
    """What was found on the teacher, replayed; of answers the F1 of a replay is not kept."""
    from kdbench.evaluations.transfer import compare

    spec: dict[str, Any] = record.spec
    source, own = (read_examples(store, spec["upstream"][role]) for role in ("source", "own"))
    result = Recomputed(cost={"forward_examples": len(table)})
    broken = (table["source"] == "success").to_numpy()
    result.details = {"examples": len(table), "broken_at_source": int(broken.sum())}
    for other, what in ((source, "the teacher's attack"), (own, "the student's own attack")):
        if list(other["id"]) != list(table["id"]):
            result.problems.append(f"examples are not those of {what}")
    if list(source["outcome"]) != list(table["source"]):
        result.problems.append("what the attack did to the teacher is not what the teacher's attack says")
    if spec["task"]["kind"] == "question-answering":
        result.untold = ("f1_under_transfer", "transfer_rate")
    else:
        right = (table["adversarial"] == table["label"]).to_numpy()
        rate = float((broken & ~right).sum()) / max(1, int(broken.sum()))
        result.metrics = {"accuracy_under_transfer": float(right.mean()), "transfer_rate": rate}
        result.flags = compare(right, (own["outcome"] == "failed").to_numpy())
    return result
