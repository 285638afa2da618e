"""``kdbench check`` on methods that break the contract, each in one way."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import kdbench

BROKEN = '''
import random

from kdbench.methods import CrossEntropy, LogitMSE, Method, Stage, TeacherRef, constant, register_method


class Soft:
    """An objective of one function of student and teacher logits."""

    uses_teacher = True

    def __init__(self, function):
        self.function = function

    def hard(self, student, labels, context):
        return {}

    def soft(self, student, teacher, context):
        return {"soft": self.function(student.logits, teacher.logits)}


class Broken(Method):
    kinds = ("text-classification",)
    objective = LogitMSE()

    def stages(self, budget, trajectory):
        return [Stage("only", constant(budget.total, trajectory.best), self.objective)]


@register_method("not-finite")
class NotFinite(Broken):
    objective = Soft(lambda student, teacher: (student.abs() + 1).log().mean() - float("inf"))


@register_method("no-gradient")
class NoGradient(Broken):
    objective = Soft(lambda student, teacher: teacher.square().mean() + 0 * student.sum())


@register_method("throws-dice")
class ThrowsDice(Broken):
    def stages(self, budget, trajectory):
        return [Stage("only", constant(budget.total), CrossEntropy(smoothing=0.5 * random.random()))]


@register_method("looks-at-the-first")
class LooksAtTheFirst(Broken):
    objective = Soft(lambda student, teacher: (student - teacher).square()[0].mean() + student.square().mean())


@register_method("remembers")
class Remembers(Broken):
    calls = 0

    def stages(self, budget, trajectory):
        self.calls += 1
        return [Stage("only", constant(budget.total), CrossEntropy(smoothing=0.1 * min(self.calls, 9)))]


@register_method("dilutes")
class Dilutes(Broken):
    kinds = ("question-answering",)
    objective = Soft(lambda student, teacher: (student - teacher).square().mean())


@register_method("overspends")
class Overspends(Broken):
    def stages(self, budget, trajectory):
        return [Stage("only", constant(3 * budget.total, TeacherRef("checkpoint", 0)), LogitMSE())]
'''
VIOLATIONS = {
    "not-finite": ("objective", "stage only: term 'soft' is -inf"),
    "no-gradient": ("training", "no gradient reaches"),
    "throws-dice": ("deterministic", "the same seed gives another student"),
    "looks-at-the-first": ("objective", "stage only: the loss depends on the order of the batch"),
    "remembers": ("deterministic", "it keeps state between runs"),
    "dilutes": ("objective", "stage only: the loss depends on how far a batch is padded"),
    "overspends": ("spends", "stages take 36 updates of a budget of 12: use budget.split()"),
}


def test_every_violation_is_named(tmp_path: Path) -> None:
    """Exit code 1; each method is caught by the check that is about its fault, and passes what it keeps."""
    (tmp_path / "broken.py").write_text(BROKEN, encoding="utf-8")
    results = json.loads(kdbench("check", "broken.py", "--json", cwd=tmp_path, check=1).stdout)
    assert {result["method"] for result in results} == set(VIOLATIONS)
    assert len(results) == 4 * len(VIOLATIONS), "four checks on one kind of task each"
    for method, (check, detail) in VIOLATIONS.items():
        own = [result for result in results if result["method"] == method]
        (caught,) = [result for result in own if result["check"].startswith(check)]
        assert not caught["passed"] and detail in caught["detail"], caught
        if method != "not-finite":  # no training gets through with that
            assert all(result["passed"] for result in own if result is not caught), own
    assert not (tmp_path / ".kdbench").exists()
