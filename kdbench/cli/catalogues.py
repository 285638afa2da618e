"""What ``list`` and ``describe`` know about each kind of thing, as plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from kdbench.errors import MethodError, UnknownNameError

if TYPE_CHECKING:
    from kdbench.attacks.spec import AttackSpec

Row = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """How the things of one kind are listed and described."""

    rows: Callable[[], list[Row]]
    describe: Callable[[str], Row]


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if (text or "").strip() else ""


def _method_rows() -> list[Row]:
    from kdbench.methods.registry import METHODS

    broken = METHODS.check_entry_points()
    rows = []
    for name in METHODS.names():
        try:
            cls = METHODS.get(name)
        except MethodError:
            continue  # one of the broken ones; not a built-in whose name a package wanted to take
        summary = _first_line(cls.__doc__)
        rows.append({"name": name, "source": METHODS.source(name), "cite": cls.cite, "summary": summary})
    rows += [{"name": name, "source": "broken", "cite": "", "summary": reason} for name, reason in broken.items()]
    return rows


def _describe_method(expression: str) -> Row:
    from kdbench.budget import Updates
    from kdbench.errors import MethodError
    from kdbench.methods.kinds import KINDS
    from kdbench.methods.registry import METHODS, reason_against, supported_kinds
    from kdbench.methods.stages import Trajectory

    kinds = supported_kinds(expression)
    if not kinds:
        raise MethodError(f"method {expression}: its parts are defined for no kind of task in common")
    updates, trajectory = Updates(1000, 100), Trajectory.nominal(6, assistants=1)
    methods = {kind: METHODS.build(expression, kind=kind) for kind in kinds}
    parts = methods[kinds[0]].parts()
    refused = {kind: reason for kind in KINDS if (reason := reason_against(expression, kind))}
    plans: dict[str, Row] = {}
    for kind, method in methods.items():
        stages = [
            {
                "name": stage.name,
                "updates": stage.steps,
                "legs": len(stage.legs),
                "teacher": stage.distills,
                "augmenter": type(stage.augmenter).__name__ if stage.augmenter else None,
            }
            for stage in method.stages(updates, trajectory)
        ]
        plans[kind] = {
            "settings": {part.name: settings_of(part.config_class(kind)) for part in method.parts()},
            "stages of 1000 updates": stages,
            "cost of 1000 updates": method.cost(updates, trajectory).__dict__,
        }
    return {
        "name": expression,
        "source": ", ".join(METHODS.source(part.name) for part in parts),
        "cite": "; ".join(part.cite for part in parts),
        "tasks": kinds,
        **({"not for": refused} if refused else {}),
        "formula": "\n\n".join(_clean(part.__doc__) for part in map(type, parts)),
        **_by_modality(plans),
    }


def _by_modality(plans: dict[str, Row]) -> Row:
    """What is the same for all kinds of task once, what differs for texts and for images separately."""
    from kdbench.methods.kinds import modality

    chosen = {modality(kind): plan for kind, plan in plans.items()}
    described: Row = {}
    for title in next(iter(chosen.values())):
        values = {kind: plan[title] for kind, plan in chosen.items()}
        first, *others = values.values()
        if all(other == first for other in others):
            described[title] = first
        else:
            described |= {f"{title} on {kind}s": value for kind, value in values.items()}
    return described


def _clean(text: str | None) -> str:
    import inspect

    return inspect.cleandoc(text or "")


def settings_of(model: type[BaseModel]) -> list[Row]:
    """Fields of a settings class: name, type, default, meaning."""
    rows = []
    for name, field in model.model_fields.items():
        annotation = str(field.annotation).replace("typing.", "")
        composed = "[" in annotation or "|" in annotation
        kind = annotation if composed else getattr(field.annotation, "__name__", annotation)
        default = "required"
        if not field.is_required():
            default = to_jsonable_python(field.get_default(call_default_factory=True), fallback=str)
        rows.append({"field": name, "type": kind, "default": default, "meaning": field.description or ""})
    return rows


def _task_rows() -> list[Row]:
    from kdbench.tasks.spec import TASKS

    return [
        {
            "name": task.name,
            "kind": task.kind,
            "metrics": ", ".join(task.metrics),
            "out-of-domain": ", ".join(dataset.name for dataset in task.ood),
            "summary": task.description,
        }
        for task in map(TASKS.get, TASKS.names())
    ]


def _pair_rows() -> list[Row]:
    from kdbench.models.spec import PAIRS

    return [
        {
            "name": pair.name,
            "teacher": pair.teacher.name,
            "student": pair.student.name,
            "assistants": ", ".join(model.name for model in pair.assistants),
            "summary": pair.description,
        }
        for pair in map(PAIRS.get, PAIRS.names())
    ]


def _attack_rows() -> list[Row]:
    from kdbench.attacks.assets import missing_assets
    from kdbench.attacks.spec import ATTACKS
    from kdbench.locations import Locations

    assets = Locations.from_environment().assets()
    rows = []
    for attack in map(ATTACKS.get, ATTACKS.names()):
        lacking = missing_assets(attack, assets)
        runs = "yes" if not lacking else "no: kdbench describe attack " + attack.name
        rows.append({"name": attack.name, "kind": attack.kind, "runs here": runs, "summary": attack.description})
    return rows


def _suite_rows() -> list[Row]:
    from kdbench.suite import load_suite, suite_names

    return [
        {
            "name": suite.name,
            "tasks": ", ".join(suite.tasks),
            "pairs": ", ".join(suite.pairs),
            "budgets": ", ".join(f"{name}*" if name == suite.budget else name for name in suite.budgets),
            "summary": " ".join(suite.description.split()),
        }
        for suite in map(load_suite, suite_names())
    ]


def _dump(kind: str) -> Callable[[str], Row]:
    """Description of something that is defined by a YAML file: the definition itself."""

    def describe(name: str) -> Row:
        from kdbench.models.spec import PAIRS
        from kdbench.suite import load_suite
        from kdbench.tasks.spec import TASKS

        if kind == "suite":
            return load_suite(name).model_dump(mode="json", exclude_defaults=True)
        if kind == "task":
            task = TASKS.get(name)
            windows = {"spans": task.spans.model_dump(mode="json")} if task.spans else {}  # the defaults are the point
            return task.model_dump(mode="json", exclude_defaults=True) | windows
        return PAIRS.get(name).model_dump(mode="json", exclude_defaults=True)

    return describe


def _describe_attack(name: str) -> Row:
    from kdbench.attacks.assets import assets_of, missing_assets
    from kdbench.attacks.spec import ATTACKS
    from kdbench.attacks.version import asset_fingerprints, attack_version
    from kdbench.locations import Locations

    attack, folders = ATTACKS.get(name), Locations.from_environment().assets()
    lacking = missing_assets(attack, folders)
    described = attack.model_dump(mode="json", exclude_defaults=True, exclude={"goal"})
    described["goal"] = _goal(attack)
    if attack.kind != "image":
        parts = attack.parts
        if not lacking:
            from kdbench.attacks.describe import built_parts

            parts = built_parts(attack, folders)
        described |= parts.model_dump(mode="json") if parts else {}
        described["query budget"] = "the suite's evaluations.attack.query_budget, for each example"
    return {
        **described,
        "version without settings of a run": attack_version(attack, {}, asset_fingerprints(attack, folders)),
        "assets here": {asset.title: asset.found for asset in assets_of(attack, folders) if asset.found},
        "missing here": lacking,
        "runs here": "no" if lacking else "yes",
    }


def _goal(attack: AttackSpec) -> str:
    if attack.kind == "image":
        return "another class than the label, inside the ball and within the range of pixels"
    if attack.kind == "question":
        return f"an answer whose token F1 with every reference is below {attack.f1_below}"
    if attack.goal == "reduction":
        return "the same prediction, from as few words as may be"
    return "another class than the label (untargeted)"


KINDS: dict[str, Kind] = {
    "methods": Kind(_method_rows, _describe_method),
    "pairs": Kind(_pair_rows, _dump("pair")),
    "tasks": Kind(_task_rows, _dump("task")),
    "attacks": Kind(_attack_rows, _describe_attack),
    "suites": Kind(_suite_rows, _dump("suite")),
}


def kind_of(word: str) -> Kind:
    """The kind for ``method`` or ``methods``.

    Raises:
        UnknownNameError: with suggestions.
    """
    plural = word if word.endswith("s") else f"{word}s"
    if plural not in KINDS:
        raise UnknownNameError("kind", word, KINDS)
    return KINDS[plural]
