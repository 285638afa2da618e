"""Everything a distillation method is written with: ``from kdbench.methods import ...``."""

from kdbench.budget import Updates
from kdbench.methods.base import (
    Checkpoint,
    Context,
    Leg,
    Method,
    MethodConfig,
    Outputs,
    Part,
    Stage,
    TeacherRef,
    Trajectory,
)
from kdbench.methods.objectives import CrossEntropy, KDObjective, LogitMSE, supervised_loss
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import annealed, constant, walk

__all__ = [
    "Checkpoint",
    "Context",
    "CrossEntropy",
    "KDObjective",
    "Leg",
    "LogitMSE",
    "Method",
    "MethodConfig",
    "Outputs",
    "Part",
    "Stage",
    "TeacherRef",
    "Trajectory",
    "Updates",
    "annealed",
    "constant",
    "register_method",
    "supervised_loss",
    "walk",
]
