"""Places in the tables: what fills them, and what cannot be filled here."""

from __future__ import annotations

from kdbench.schema import Spec

TEACHER = "teacher"
BASELINE = "finetune"
"""The student without a teacher, whose attacks are replayed on the others as the teacher's are."""
CONTROLS = ("finetune", "label-smoothing", "logit-mse", "random-teacher")
"""Methods that stand in the tables for comparison: what a student reaches without what distillation promises."""


class Row(Spec):
    """One place in the tables, and the cell that fills it; equal cells may fill several."""

    key: str
    pair: str
    task: str
    method: str
    seed: int
    evaluation: str = ""
    dataset: str = ""

    def describe(self) -> str:
        """In words.

        >>> Row(key="k", pair="p", task="sst2", method="kd", seed=1, evaluation="attack", dataset="pwws").describe()
        'kd on sst2, p, seed 1, attack pwws'
        """
        what = f"{self.evaluation} {self.dataset}" if self.evaluation else "training"
        return f"{self.method} on {self.task}, {self.pair}, seed {self.seed}, {what}"

    @property
    def place(self) -> tuple[str, ...]:
        """What makes two rows compete for one place."""
        return (self.pair, self.task, self.method, str(self.seed), self.evaluation, self.dataset)


class Skipped(Spec):
    """Something the suite asks for that cannot be had here."""

    pair: str = ""
    task: str
    evaluation: str
    dataset: str
    reason: str

    @property
    def place(self) -> tuple[str, ...]:
        """What it would have filled, for every method and seed."""
        return (self.pair, self.task, self.evaluation, self.dataset)
