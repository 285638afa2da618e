"""KD from one chosen checkpoint of the teacher: the early-stopped teacher."""

from __future__ import annotations

from pydantic import Field

from kdbench.errors import MethodError
from kdbench.methods.builtin.kd import KDConfig, OneTeacher, on_images
from kdbench.methods.registry import register_method
from kdbench.methods.stages import TeacherRef, Trajectory


@register_method("checkpoint-kd", cite="Cho & Hariharan, ICCV 2019; Wang et al., 2022")
class CheckpointKD(OneTeacher):
    """The loss of ``kd`` with checkpoint k of the teacher's trajectory.

    Reconstructed from the abstracts; the checkpoint-search study runs it for every k.
    """

    class Config(KDConfig):
        """Settings of ``checkpoint-kd``."""

        checkpoint: int = Field(0, description="k, counted from 0; negative counts from the end")

    ImageConfig = on_images(Config)

    def teacher(self, trajectory: Trajectory) -> TeacherRef:
        """Checkpoint k."""
        index, count = self.config.checkpoint, len(trajectory)
        if not -count <= index < count:
            raise MethodError(f"checkpoint-kd: checkpoint {index} does not exist, the trajectory has {count}")
        return TeacherRef("checkpoint", index % count)
