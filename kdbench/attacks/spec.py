"""What an attack is: a named recipe, its settings, assets and citation. Plain data, no attack library imported."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from kdbench.attacks.image_members import AnyMember, Norm
from kdbench.catalog import Catalog
from kdbench.schema import Spec
from kdbench.tasks.spec import Confined, Name

Need = Literal["wordnet", "counterfitted", "use", "pos-tagger", "flair-tagger", "homoglyphs", "gradients"]

_FIELDS = {"text": ("recipe", "arguments", "needs", "models"), "image": ("norm", "epsilon", "members")}
_REQUIRED = {"text": ("recipe",), "image": _FIELDS["image"]}


def _fraction(value: object) -> object:
    """``8/255`` as people write it."""
    if isinstance(value, str):
        try:
            return float(Fraction(value.replace(" ", "")))
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"'{value}' is neither a number nor a fraction such as 8/255") from None
    return value


class AttackSpec(Spec):
    """One adversarial attack: a TextAttack recipe on texts, or one or several algorithms on images.

    Members of an image attack run in their order, each on what those before it left standing; an example is
    robust when it withstands all of them. List them from cheap to dear.
    """

    name: Name
    kind: Literal["text", "image"] = "text"
    version: int = Field(1, ge=1, description="raised whenever the same name would give other outcomes")
    recipe: str = Field(
        "",
        pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_]\w*)?$",
        description="text: module:attribute of the TextAttack recipe",
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="text: keyword arguments of the recipe's build")
    needs: tuple[Need, ...] = Field((), description="text: data the recipe reads; 'gradients' is asked of the victim")
    models: tuple[Confined, ...] = Field(
        (), description="text: hub ids of the models the recipe loads, each by the last part of its id"
    )
    norm: Norm | None = Field(None, description="image: how perturbations are measured")
    epsilon: Annotated[float | None, BeforeValidator(_fraction)] = Field(
        None, ge=0, description="image: the largest perturbation, pixels being in [0, 1]; 8/255 may be written so"
    )
    members: tuple[AnyMember, ...] = Field((), description="image: the algorithms and their settings")
    description: str = ""
    cite: str = ""

    @model_validator(mode="after")
    def _fields_of_its_kind(self) -> AttackSpec:
        empty: tuple[Any, ...] = ("", None, (), {})
        for name in _REQUIRED[self.kind]:
            if getattr(self, name) in empty:
                raise ValueError(f"an attack of kind {self.kind} needs '{name}'")
        for name in _FIELDS["image" if self.kind == "text" else "text"]:
            if getattr(self, name) not in empty:
                raise ValueError(f"'{name}' has no meaning for an attack of kind {self.kind}")
        for member in self.members:
            if self.norm not in member.norms:
                raise ValueError(
                    f"{member.algorithm} does not exist for norm {self.norm}, only for {' and '.join(member.norms)}"
                )
        return self


ATTACKS = Catalog("attack", Path(__file__).parent / "catalog", AttackSpec)
