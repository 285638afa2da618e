"""What an attack is: a named recipe, its settings, assets and citation. Plain data, no attack library imported."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from kdbench.attacks.image_members import AnyMember, Norm
from kdbench.catalog import Catalog
from kdbench.schema import Spec, is_none
from kdbench.tasks.spec import Confined, Name

Need = Literal["wordnet", "counterfitted", "use", "pos-tagger", "flair-tagger", "homoglyphs", "gradients"]

_RECIPE = ("recipe", "arguments", "needs", "models")
_FIELDS = {"text": _RECIPE, "question": (*_RECIPE, "f1_below"), "image": ("norm", "epsilon", "members")}
_REQUIRED = {"text": ("recipe",), "question": ("recipe", "f1_below"), "image": _FIELDS["image"]}


def _fraction(value: object) -> object:
    """``8/255`` as people write it."""
    if isinstance(value, str):
        try:
            return float(Fraction(value.replace(" ", "")))
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"'{value}' is neither a number nor a fraction such as 8/255") from None
    return value


class AttackSpec(Spec):
    """One adversarial attack: a TextAttack recipe on texts or questions, or one or several algorithms on images.

    Members of an image attack run in their order, each on what those before it left standing; an example is
    robust when it withstands all of them. List them from cheap to dear.
    """

    name: Name
    kind: Literal["text", "question", "image"] = "text"
    version: int = Field(1, ge=1, description="raised whenever the same name would give other outcomes")
    recipe: str = Field(
        "",
        pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_]\w*)?$",
        description="text, question: module:attribute of the TextAttack recipe",
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
    members: tuple[AnyMember, ...] = Field((), description="image: the algorithms and their settings")
    description: str = ""
    cite: str = ""

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
        if self.kind == "question" and "gradients" in self.needs:
            raise ValueError("'gradients' are not to be had of a model that answers questions")
        for member in self.members:
            if self.norm not in member.norms:
                raise ValueError(
                    f"{member.algorithm} does not exist for norm {self.norm}, only for {' and '.join(member.norms)}"
                )
        return self


ATTACKS = Catalog("attack", Path(__file__).parent / "catalog", AttackSpec)
