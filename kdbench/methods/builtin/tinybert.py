"""TinyBERT: the transformer's layers first, its predictions after."""

from __future__ import annotations

from pydantic import Field, PositiveFloat

from kdbench.budget import Updates
from kdbench.methods.base import Method
from kdbench.methods.objectives import KDObjective, TransformerLayers
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import constant
from kdbench.methods.settings import TeacherChoice
from kdbench.methods.single_stage import TEXT
from kdbench.methods.stages import Stage, Trajectory


@register_method("tinybert", cite="Jiao et al., Findings of EMNLP 2020, arXiv:1909.10351")
class TinyBERT(Method):
    """Stage I: L = MSE(E_S·W_e, E_T) + Σ_m [MSE(A_m, A_g(m)) + MSE(H_m·W_h, H_g(m))], g(m) = m·N/M.

    E are the embeddings, H the hidden states, A the attention scores QKᵀ/√d before the softmax, as the paper has
    them; padding is left out. W_e and W_h are trained and thrown away. Labels and logits are not looked at, so the
    classifier is untrained until stage II, which goes on from the *last* student: L = T²·soft cross-entropy of the
    logits, without labels. 20 + 3 epochs (10 + 3 on the large tasks of GLUE, 50 + 3 on CoLA). Student and teacher
    need as many attention heads. The paper's general distillation and its data augmentation are not part of this.
    """

    kinds = TEXT

    class Config(TeacherChoice):
        """Settings of ``tinybert``."""

        temperature: float = Field(1.0, gt=0, description="T, of stage II")
        epochs: tuple[PositiveFloat, PositiveFloat] = Field(
            (20, 3), description="epochs of the two stages in the paper; a matched budget keeps their proportion"
        )

    def stages(self, budget: Updates, trajectory: Trajectory) -> list[Stage]:
        """Layers, then predictions."""
        first, second = budget.split(self.config.epochs)
        teacher = trajectory.named(self.config.teacher)
        prediction = KDObjective(0.0, self.config.temperature, "soft-ce")
        return [
            Stage("layers", constant(first, teacher), TransformerLayers()),
            Stage("predictions", constant(second, teacher), prediction),
        ]
