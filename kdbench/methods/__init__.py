"""Everything a distillation method is written with: ``from kdbench.methods import ...``."""

from kdbench.budget import Updates
from kdbench.methods.base import Method, MethodConfig, Part, with_defaults
from kdbench.methods.contract import Context, ObjectiveSetup, Outputs
from kdbench.methods.kinds import KINDS
from kdbench.methods.objectives import CrossEntropy, KDObjective, LogitMSE, supervised_loss
from kdbench.methods.registry import register_method
from kdbench.methods.schedules import annealed, constant, walk
from kdbench.methods.stages import Checkpoint, Leg, Stage, TeacherRef, Trajectory

__all__ = [
    "KINDS",
    "Checkpoint",
    "Context",
    "CrossEntropy",
    "KDObjective",
    "Leg",
    "LogitMSE",
    "Method",
    "MethodConfig",
    "ObjectiveSetup",
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
    "with_defaults",
]
