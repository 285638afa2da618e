"""TAKD: distil through assistants of intermediate size."""

from __future__ import annotations

from typing import Any

from kdbench.errors import MethodError
from kdbench.methods.builtin.kd import KDConfig, OneTeacher, on_images
from kdbench.methods.registry import register_method
from kdbench.methods.stages import TeacherRef, Trajectory


@register_method("takd", cite="Mirzadeh et al., AAAI 2020, arXiv:1902.03393")
class TAKD(OneTeacher):
    """``kd`` from the teacher to the assistant, then ``kd`` from the assistant to the student.

    The pair names the assistants, largest first; a chain may have any length. Assistants are trained
    once per pair and task, and their cost is recorded beside the student's.
    """

    class Config(KDConfig):
        """Settings of ``takd``, the same for every link of the chain."""

    ImageConfig = on_images(Config)

    @property
    def needs_assistant(self) -> bool:
        """Always."""
        return True

    def teacher(self, trajectory: Trajectory) -> TeacherRef:
        """The assistant that is nearest to the student."""
        if not trajectory.assistants:
            raise MethodError("takd needs an assistant, and the pair names none: add 'assistants' to the pair")
        return TeacherRef("assistant", trajectory.assistants - 1)

    def assistant_method(self) -> tuple[str, dict[str, Any]]:
        """``kd`` with the same settings."""
        return "kd", self.config.model_dump()
