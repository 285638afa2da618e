"""KD from a teacher that knows nothing: what is left is regularisation."""

from __future__ import annotations

from kdbench.methods.builtin.kd import KDConfig, OneTeacher, on_images
from kdbench.methods.registry import register_method
from kdbench.methods.stages import TeacherRef, Trajectory


@register_method("random-teacher", cite="control: kd from random weights")
class RandomTeacher(OneTeacher):
    """The loss of ``kd``; the teacher has the pair's teacher architecture and random weights."""

    class Config(KDConfig):
        """Settings of ``random-teacher``."""

    ImageConfig = on_images(Config)

    def teacher(self, trajectory: Trajectory) -> TeacherRef:
        """Random weights, drawn from the cell's seed."""
        return TeacherRef("random")
