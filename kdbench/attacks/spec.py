"""What an attack is: a named recipe, its assets and its citation. Plain data, no TextAttack import."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from kdbench.catalog import Catalog
from kdbench.schema import Spec
from kdbench.tasks.spec import Confined, Name

Need = Literal["wordnet", "counterfitted", "use", "pos-tagger", "flair-tagger", "homoglyphs", "gradients"]


class AttackSpec(Spec):
    """One adversarial attack on text models."""

    name: Name
    kind: Literal["text"] = "text"
    version: int = Field(1, ge=1, description="raised whenever the same name would give other outcomes")
    recipe: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="module:attribute of the TextAttack recipe"
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the recipe's build")
    needs: tuple[Need, ...] = Field((), description="data the recipe reads; 'gradients' is asked of the victim")
    models: tuple[Confined, ...] = Field(
        (), description="hub ids of the models the recipe loads, each by the last part of its id"
    )
    description: str = ""
    cite: str = ""


ATTACKS = Catalog("attack", Path(__file__).parent / "catalog", AttackSpec)
