"""What an attack is: a named recipe, its settings, assets and citation. Plain data, no attack library imported."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from kdbench.attacks.image_members import AnyMember, Norm
from kdbench.catalog import Catalog
from kdbench.schema import Spec, is_none
from kdbench.tasks.spec import Confined, Name

Need = Literal[
    "wordnet",
    "counterfitted",
    "neighbours",
    "use",
    "encoder",
    "pos-tagger",
    "textblob",
    "flair-tagger",
    "flair-entities",
    "hownet",
    "homoglyphs",
    "google-lm",
    "pickled-lm",
    "gradients",
]
Goal = Literal["untargeted", "reduction"]

_RECIPE = ("recipe", "arguments", "needs", "models")
_FIELDS = {"text": _RECIPE, "question": (*_RECIPE, "f1_below"), "image": ("norm", "epsilon", "epsilons", "members")}
_REQUIRED = {"text": ("recipe",), "question": ("recipe", "f1_below"), "image": ("norm", "epsilon", "members")}


def _fraction(value: object) -> object:
    """``8/255`` as people write it."""
    if isinstance(value, str):
        try:
            return float(Fraction(value.replace(" ", "")))
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"'{value}' is neither a number nor a fraction such as 8/255") from None
    return value


class Parts(Spec):
    """What a text attack is made of, in TextAttack's names; where it can be built, what was built is shown instead."""

    transformation: tuple[str, ...]
    constraints: tuple[str, ...]
    search: str


class AttackSpec(Spec):
    """One adversarial attack: a TextAttack recipe on texts or questions, or one or several algorithms on images.

    Members of an image attack run from cheap to dear, in whatever order they are written, each on what those before
    it left standing; an example is robust when it withstands all of them.
    """

    name: Name
    kind: Literal["text", "question", "image"] = "text"
    version: int = Field(1, ge=1, description="raised whenever the same name would give other outcomes")
    recipe: str = Field(
        "",
        pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_]\w*)?$",
        description="text, question: module:attribute of the TextAttack recipe",
    )
    goal: Goal = Field(
        "untargeted",
        exclude_if=lambda goal: goal == "untargeted",
        description="text: 'untargeted' wants another prediction, 'reduction' the same one from as few words as may be",
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="text, question: keyword arguments of the recipe's build"
    )
    needs: tuple[Need, ...] = Field(
        (), description="text, question: data the recipe reads; 'gradients' is asked of the victim, of texts only"
    )
    models: tuple[Confined, ...] = Field(
        (), description="text, question: hub ids of the models the recipe loads, each by the last part of its id"
    )
    f1_below: float | None = Field(
        None,
        gt=0,
        le=1,
        exclude_if=is_none,
        description="question: reached when the answer's token F1 falls below it; 0.5 unless told",
    )
    norm: Norm | None = Field(None, description="image: how perturbations are measured")
    epsilon: Annotated[float | None, BeforeValidator(_fraction)] = Field(
        None, ge=0, description="image: the largest perturbation, pixels being in [0, 1]; 8/255 may be written so"
    )
    epsilons: tuple[Annotated[float, BeforeValidator(_fraction), Field(gt=0)], ...] = Field(
        (),
        exclude_if=lambda epsilons: not epsilons,
        description="image: several radii from small to large, for a security curve; 'epsilon' is then the largest",
    )
    members: tuple[AnyMember, ...] = Field((), description="image: the algorithms and their settings")
    parts: Parts | None = Field(
        None, exclude=True, description="text: what it is made of, for where it cannot be built"
    )
    description: str = ""
    cite: str = ""

    @property
    def radii(self) -> tuple[float, ...]:
        """The epsilons of an image attack, from small to large: often one."""
        assert self.epsilon is not None
        return self.epsilons or (self.epsilon,)

    @field_validator("members")
    @classmethod
    def _from_cheap_to_dear(cls, members: tuple[AnyMember, ...]) -> tuple[AnyMember, ...]:
        return tuple(sorted(members, key=lambda member: member.passes))

    @model_validator(mode="before")
    @classmethod
    def _largest_of_several(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and isinstance(fields.get("epsilons"), list | tuple) and fields["epsilons"]:
            return {"epsilon": fields["epsilons"][-1], **fields}
        return fields

    @model_validator(mode="after")
    def _epsilons_in_order(self) -> AttackSpec:
        if self.epsilons and (list(self.epsilons) != sorted(set(self.epsilons)) or self.epsilon != self.epsilons[-1]):
            raise ValueError("'epsilons' must rise from one to the next, and 'epsilon', if it is given, be the largest")
        return self

    @model_validator(mode="before")
    @classmethod
    def _goal_of_questions(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and fields.get("kind") == "question":
            return {"f1_below": 0.5, **fields}
        return fields

    @model_validator(mode="after")
    def _fields_of_its_kind(self) -> AttackSpec:
        empty: tuple[Any, ...] = ("", None, (), {})
        for name in _REQUIRED[self.kind]:
            if getattr(self, name) in empty:
                raise ValueError(f"an attack of kind {self.kind} needs '{name}'")
        for name in dict.fromkeys(name for names in _FIELDS.values() for name in names):
            if name not in _FIELDS[self.kind] and getattr(self, name) not in empty:
                raise ValueError(f"'{name}' has no meaning for an attack of kind {self.kind}")
        if self.kind != "text" and self.goal != "untargeted":
            raise ValueError(f"'goal' has no meaning for an attack of kind {self.kind}")
        if self.kind == "question" and "gradients" in self.needs:
            raise ValueError("'gradients' are not to be had of a model that answers questions")
        for member in self.members:
            if self.norm not in member.norms:
                raise ValueError(
                    f"{member.algorithm} does not exist for norm {self.norm}, only for {' and '.join(member.norms)}"
                )
        return self


ATTACKS = Catalog("attack", Path(__file__).parent / "catalog", AttackSpec)
