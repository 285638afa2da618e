"""KD from a teacher that knows nothing: what is left is regularisation."""

from __future__ import annotations

from kdbench.methods.base import Part, TeacherRef, Trajectory
from kdbench.methods.builtin.kd import KD, KDConfig
from kdbench.methods.registry import register_method


@register_method("random-teacher", cite="control: kd from random weights")
class RandomTeacher(KD):
    """The loss of ``kd``; the teacher has the pair's teacher architecture and random weights."""

    class Config(KDConfig):
        """Settings of ``random-teacher``."""

    def teacher(self, trajectory: Trajectory) -> TeacherRef:
        """Random weights, drawn from the cell's seed."""
        return TeacherRef("random")

    def part(self) -> Part:
        """Not an addition: it chooses the teacher, which is the schedule's business."""
        return super(KD, self).part()
