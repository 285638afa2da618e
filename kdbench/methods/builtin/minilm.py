"""MiniLMv2: the relations inside one self-attention layer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from kdbench.budget import Updates
from kdbench.methods.base import Method
from kdbench.methods.contract import Objective
from kdbench.methods.objectives import CrossEntropy, KDObjective, SelfRelations
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import constant
from kdbench.methods.settings import TeacherChoice
from kdbench.methods.single_stage import TEXT
from kdbench.methods.stages import Stage, Trajectory


@register_method("minilm", cite="Wang et al., Findings of ACL 2021, arXiv:2012.15828")
class MiniLM(Method):
    """Stage I: L = Σ over A in {Q, K, V} of KL(softmax(A_T·A_Tᵀ/√d_T) ‖ softmax(A_S·A_Sᵀ/√d_S)).

    The relations of all real tokens, mean over tokens and relation heads: queries, keys and values of all heads are
    cut anew into as many pieces for both models, so that heads and widths may differ. The student's last layer
    learns from one of the teacher: the last of up to 12 layers, the 21st of 24. 48 relation heads, 64 for teachers
    wider than 768; where that does not divide both widths, the next number below that does.

    The paper distils a pretrained teacher on general text for 400,000 steps and fine-tunes the student after; here
    both happen on the task's text with the task's teacher, in the given proportion. Stage I trains the encoder only.
    Stage II, from the *last* student: CE(y, zS), or Hinton's loss with the settings of ``kd`` for text.
    """

    kinds = TEXT

    class Config(TeacherChoice):
        """Settings of ``minilm``."""

        relation_heads: int | None = Field(None, ge=1, description="relation heads; must divide both widths")
        teacher_layer: int | None = Field(None, ge=1, description="the teacher's layer, counted from 1")
        second_stage: Literal["finetune", "kd"] = Field("finetune", description="loss of stage II")
        epochs: tuple[PositiveFloat, PositiveFloat] = Field(
            (3, 3), description="epochs of the two stages; the paper's are not those of a task"
        )

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """Relations, then the task."""
        config = self.config
        first, second = budget.split(config.epochs)
        teacher = trajectory.named(config.teacher)
        relations = SelfRelations(relation_heads=config.relation_heads, teacher_layer=config.teacher_layer)
        hinton = config.second_stage == "kd"
        task: Objective = KDObjective(0.5, 2.0) if hinton else CrossEntropy()
        return [
            Stage("relations", constant(first, teacher), relations),
            Stage(config.second_stage, constant(second, teacher if hinton else None), task),
        ]
